"""Timing two ways of doing the same thing, one after the other, again and again."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

REPEATS = 7


@dataclass(frozen=True)
class Side:
    """One way of doing the work."""

    name: str
    work: Callable[[], object]
    """Does it once."""
    amount: float = 1.0
    """How much of the work a call does; its time is divided by this."""


@dataclass(frozen=True)
class Row:
    """A comparison: seconds for the same amount of work, one pair of figures a repeat."""

    what: str
    peer: str
    unit: str
    """What one unit of work is."""
    ours_s: Sequence[float]
    peer_s: Sequence[float]
    target: str
    """What was aimed at, in words."""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> tuple[float, float, float]:
        """How many times our time the peer takes: median, least and greatest of the repeats."""
        ratios = np.array(self.peer_s) / np.array(self.ours_s)
        return float(np.median(ratios)), float(ratios.min()), float(ratios.max())

    def as_json(self) -> dict[str, Any]:
        """For the results file."""
        median, least, greatest = self.ratio
        return {
            "what": self.what,
            "peer": self.peer,
            "unit": self.unit,
            "ours_s": float(np.median(self.ours_s)),
            "peer_s": float(np.median(self.peer_s)),
            "ratio": median,
            "ratio_range": [least, greatest],
            "repeats": len(self.ours_s),
            "target": self.target,
            "facts": dict(self.facts),
            "ours_all_s": list(self.ours_s),
            "peer_all_s": list(self.peer_s),
        }


def compare(
    what: str,
    ours: Side,
    peer: Side,
    *,
    unit: str,
    target: str,
    repeats: int = REPEATS,
    warm_ups: int = 1,
    facts: Mapping[str, Any] | None = None,
) -> Row:
    """Time both sides, alternating, after each has run `warm_ups` times."""
    for side in (ours, peer):
        for _ in range(warm_ups):
            side.work()
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    for repeat in range(repeats):
        # Who goes first changes, so that neither always follows the other's caches.
        order = [("ours", ours), ("peer", peer)]
        for key, side in order if repeat % 2 else order[::-1]:
            times[key].append(seconds(side.work) / side.amount)
    return Row(what, peer.name, unit, times["ours"], times["peer"], target, facts or {})


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def times(work: Callable[[], object], count: int) -> Callable[[], None]:
    """The same work `count` times over."""

    def repeated() -> None:
        for _ in range(count):
            work()

    return repeated


def matrix_peak(dtype: torch.dtype = torch.float32, size: int = 2048) -> float:
    """FLOP/s of a large square matrix product on this machine now: the median of seven."""
    a = torch.randn(size, size).to(dtype)
    torch.mm(a, a)
    return 2 * size**3 / float(np.median([seconds(lambda: torch.mm(a, a)) for _ in range(7)]))


def copy_peak(megabytes: int = 256) -> float:
    """Bytes/s of copying memory on this machine now, read and written, the median of seven."""
    a = torch.randint(0, 255, (megabytes * 2**20,), dtype=torch.uint8)
    b = torch.empty_like(a)
    b.copy_(a)
    return 2 * a.numel() / float(np.median([seconds(lambda: b.copy_(a)) for _ in range(7)]))


class _FlopCounter(TorchDispatchMode):
    """Counts as torch's own counter does, which takes neither `autograd.grad` nor attention on
    the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        if packet is torch.ops.aten._scaled_dot_product_flash_attention_for_cpu:
            self.total += sdpa_flop_count(*(tensor.shape for tensor in args[:3]))
        elif packet in flop_registry:
            self.total += flop_registry[packet](*args, **(kwargs or {}), out_val=result)
        return result


def count_flops(work: Callable[[], object]) -> int:
    """FLOPs of the matrix products and convolutions of a call; a multiply-add is two."""
    with _FlopCounter() as counter:
        work()
    return counter.total


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "gpu": gpu,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()
