"""The GPU column of docs/performance.md, on a bare machine with torch and numpy.

    benchmarks/on_gpu.sh OUT [--tiny] [--device cpu]

Every section writes `OUT/gpu.json` when it is done, so that a run that is cut short loses nothing; one
that fails leaves its error there. LeRobot's ACT is timed where LeRobot can be imported.
"""

from __future__ import annotations
