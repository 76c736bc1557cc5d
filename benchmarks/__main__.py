"""Every comparison, one after the other, into results/ and docs/performance.md.

make bench                          everything
python -m benchmarks ranking seeds  these groups alone; the file keeps the others' figures
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import loading, ranking, rollouts, scaling, startup, training, triage
from benchmarks.side_by_side import Row, machine
from outtakes import version

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"
OUT = ROOT / "out" / "bench"


def _loading_rows() -> list[Row]:
    with loading.dataset() as root, tempfile.TemporaryDirectory() as cache:
        return [loading.samples(root, Path(cache))]


def _bf16_rows() -> list[Row]:
    row = training.paper_step("bf16")
    curve = training.loss_curve_in_bf16(rollouts.demonstrations(OUT))
    facts = {f"loss curve of 300 steps in bf16, {k} difference": v for k, v in curve.items()}
    return [replace(row, facts={**row.facts, **facts})]


GROUPS: dict[str, Callable[[], list[Row]]] = {
    "startup": startup.starts,
    "quick": lambda: [training.quick_step(), training.quick_step(seeds=5)],
    "seeds": lambda: [training.seeds_together("none"), training.seeds_together("pb")],
    "loading": _loading_rows,
    "ranking": lambda: ranking.quick().rows() + ranking.paper().rows(),
    "rollouts": lambda: [rollouts.evaluation(OUT, 224), rollouts.evaluation(OUT, None)],
    "triage": lambda: [triage.beyond_training(OUT)],
    "paper": lambda: [training.paper_step("fp32")],
    "bf16": _bf16_rows,
}


def results_file(facts: dict[str, Any]) -> Path:
    """Where the figures of this machine are kept."""
    name = facts["gpu"] or f"{facts['cpu']} {facts['cores']} cores"
    return ROOT / "results" / f"bench-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.json"


def main(chosen: Sequence[str]) -> None:
    """Measure these groups, or all and the scaling, and write what was found."""
    facts = machine()
    path = results_file(facts)
    report: dict[str, Any] = {"groups": {}}
    if path.exists():
        report = json.loads(path.read_text(encoding="utf-8"))
    report["machine"] = facts
    # A group may be measured again by itself, at another commit.
    stamp = {"commit": version.commit(), "date": date.today().isoformat()}
    for name in chosen or [*GROUPS, "scaling"]:
        if name == "scaling":
            figures = {"ranking": scaling.ranking(), "training": scaling.training()}
            report["scaling"] = figures | stamp
        else:
            report["groups"][name] = [row.as_json() | stamp for row in GROUPS[name]()]
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        for row in report["groups"].get(name, []):
            print(_line(row), flush=True)
    write_page(report)


def _line(row: dict[str, Any]) -> str:
    low, high = row["ratio_range"]
    share = row["facts"].get("share of matrix peak") or row["facts"].get(
        "share of memory-copy peak"
    )
    return (
        f"| {row['what']} | {row['peer']} | {_seconds(row['ours_s'])} | {_seconds(row['peer_s'])} "
        f"| {row['ratio']:.2f} ({low:.2f}–{high:.2f}) | {'' if share is None else f'{share:.0%}'} "
        f"| {row['target']} |"
    )


def _seconds(value: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def write_page(report: dict[str, Any]) -> None:
    """Put the tables between their markers in docs/performance.md."""
    rows = [_line(row) for name in GROUPS for row in report["groups"].get(name, [])]
    head = "| What | Peer | Ours | Peer | Times faster (range) | Of peak | Aimed at |"
    table = "\n".join([head, "|---|---|---|---|---|---|---|", *rows])
    text = _between(PAGE.read_text(encoding="utf-8"), "comparisons", table)
    if "scaling" in report:
        text = _between(text, "ranking", _scaling_table(report["scaling"]["ranking"]))
        text = _between(text, "training", _scaling_table(report["scaling"]["training"]))
    PAGE.write_text(text, encoding="utf-8")


def _scaling_table(rows: Sequence[dict[str, float]]) -> str:
    head = "| " + " | ".join(name.replace("_", " ") for name in rows[0]) + " |"
    cells = ["| " + " | ".join(f"{value:.4g}" for value in row.values()) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *cells])


def _between(text: str, name: str, content: str) -> str:
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, rest = text.split(start)
    return f"{before}{start}\n{content}\n{end}{rest.split(end)[1]}"


if __name__ == "__main__":
    main(sys.argv[1:])
