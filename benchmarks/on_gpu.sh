#!/usr/bin/env bash
# Everything of docs/performance.md that a GPU decides, in one call of a few minutes, on a machine
# that has nothing but a Python with torch, numpy and safetensors.
#
#     benchmarks/on_gpu.sh OUT [--device cpu] [--tiny]
#
# Leaves OUT/gpu.json, which grows section by section. PYTHON names the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHONPATH=src:.${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 exec "${PYTHON:-python3}" -m benchmarks.on_gpu "$@"
