"""The GPU column of docs/performance.md, on a bare machine with torch and numpy.

    benchmarks/on_gpu.sh OUT [--tiny] [--device cpu]

Every section writes `OUT/gpu.json` when it is done, so that a run that is cut short loses nothing; one
that fails leaves its error there. LeRobot's ACT is timed where LeRobot can be imported.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.objects import make_demos
from outtakes.data.demo import DemoSet
from outtakes.experiments_free import PAPER_POLICY, PAPER_TRAIN, QUICK_POLICY, QUICK_TRAIN
