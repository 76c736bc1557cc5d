#!/usr/bin/env bash
# Whether two revisions compute the same: both run the smoke recipe on this machine, and data,
# checkpoints, scores and rollouts are compared value by value, whatever their files look like.
#
#     scripts/same_results.sh REV_A REV_B     for example: scripts/same_results.sh HEAD~1 HEAD
#
# What a revision computed is kept in out/same-results/<commit>/. Needs .venv (`make setup`).
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# = 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }

results() { # REVISION: runs the recipe unless that was done, and prints the folder
    local commit folder sources
    commit=$(git rev-parse --verify --quiet "$1^{commit}") || { echo "no revision $1" >&2; exit 2; }
    folder=$PWD/out/same-results/$commit
    if [ ! -e "$folder/done" ]; then
        rm -rf "$folder"
        mkdir -p "$folder/sources"
        git archive "$commit" | tar -x -C "$folder/sources"
        sources=$folder/sources
        echo "running the smoke recipe at $1" >&2
        PYTHONPATH=$sources/src OUTTAKES_CACHE=$folder/cache OMP_NUM_THREADS=1 \
            .venv/bin/outtakes demo --recipe smoke --out "$folder/demo" >&2
        touch "$folder/done"
    fi
    echo "$folder/demo"
}

a=$(results "$1")
b=$(results "$2")
.venv/bin/python scripts/compare_results.py "$a" "$b"
