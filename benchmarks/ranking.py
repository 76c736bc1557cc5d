"""The ranking beside the plainest one, which runs the whole policy for every pair, one at a time.

    PYTHONPATH=src python -m benchmarks.ranking

The plain one is what the tests hold the ranking to (`tests.slow_ranking`): for each frame of a
failure it encodes and decodes once under the failure's own PB and once under the PB of every
success. It is timed on a stated sample, and `Facts.naive_factor` carries that to the whole.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from outtakes.data.demo import Demo, DemoSet
from outtakes.data.normalize import Normalizer
from outtakes.policy.act import ActConfig, ActPolicy, Sizes
from outtakes.policy.agent import Agent
from outtakes.policy.footprint import Budget
from outtakes.recipes import PAPER, QUICK
from outtakes.selection.discrepancy import Discrepancy
from outtakes.selection.pairs import Pairs
from outtakes.selection.score import score_run
from outtakes.training.checkpoint import Checkpoint
from tests.slow_ranking import divergences

_STATE, _ENVIRONMENT_STATE, _ACTION = 14, 7, 7
"""Sizes of the vectors of the Lift task."""


@dataclass(frozen=True)
class Facts:
    """What was compared, and how much arithmetic it is."""

    recipe: str
    failures: int
    successes: int
    pairs: int
    """(failure, frame, success) triples that `ours` compares."""
    naive_runs: int
    """Runs of the whole policy that `naive` makes."""
    naive_factor: float
    """Runs it would make for the work of `ours`, divided by `naive_runs`."""
    flops: int
    """Of the matrix products and convolutions of `ours`, counted as they ran."""


Pair = tuple[Callable[[], None], Callable[[], None], Facts]
"""(ours, naive, facts)."""


def quick_pair(frames: tuple[int, int] = (45, 80)) -> Pair:
    """Quick recipe: 50 failures × 50 successes, every frame; naive on 4 frames of one failure.

    Args:
        frames: of a demonstration, fewest and most.
    """
    demos = make_demos(np.random.default_rng(0).integers(*frames, size=100, endpoint=True))
    agent = make_agent(QUICK.act, demos)
    policy, failures = agent.policy, demos.lengths[~demos.successes]
    tensors = {f"policy.{name}": tensor for name, tensor in policy.state_dict().items()}
    tensors |= {f"normalizer.{n}": tensor for n, tensor in agent.normalizer.tensors().items()}
    checkpoint = Checkpoint(
        step=0,
        seed=0,
        act=policy.config,
        sizes=policy.sizes,
        dataset=demos.name,
        content_hash=demos.content_hash,
        episodes=tuple(demos.episode_indices.tolist()),
        successes=tuple(demos.successes.tolist()),
        settings={},
        commit="",
        tensors=tensors,
    )

    def ours() -> None:
        score_run(checkpoint, demos)

    naive, runs = naive_sample(agent, demos, frames=4, successes=50)
    runs_in_all = int(failures.sum()) * (1 + 50)
    facts = Facts("quick", 50, 50, int(failures.sum()) * 50, runs, runs_in_all / runs, count(ours))
    return ours, naive, facts


def paper_pair() -> Pair:
    """Paper recipe: 2 frames of one failure × 50 successes; naive on 1 frame × 2 successes."""
    demos = make_demos(np.full(51, 2), failures=1, image_size=PAPER.image_size)
    agent = make_agent(PAPER.act, demos)
    failure, own, others = of_first_failure(agent, demos)
    discrepancy = Discrepancy(agent, others, Budget.of("cpu"))
    pairs = Pairs.every(len(failure), len(others))

    def ours() -> None:
        discrepancy.of(failure, own, pairs)

    naive, runs = naive_sample(agent, demos, frames=1, successes=2)
    runs_in_all = len(failure) * (1 + len(others))
    facts = Facts("paper", 1, 50, len(failure) * 50, runs, runs_in_all / runs, count(ours))
    return ours, naive, facts


def make_demos(lengths: np.ndarray, *, failures: int = 50, image_size: int = 0) -> DemoSet:
    """Demonstrations of Lift's shape with random content; the last ones failed."""
    rng = np.random.default_rng(0)
    rows = int(lengths.sum())
    shape = (rows, image_size, image_size, 3)
    cameras = PAPER.act.cameras if image_size else ()
    return DemoSet(
        name="synthetic",
        content_hash="synthetic",
        fps=20.0,
        episode_indices=np.arange(len(lengths)),
        successes=np.arange(len(lengths)) < len(lengths) - failures,
        starts=np.concatenate([[0], np.cumsum(lengths)]),
        state=rng.normal(size=(rows, _STATE)).astype(np.float32),
        environment_state=rng.normal(size=(rows, _ENVIRONMENT_STATE)).astype(np.float32),
        action=rng.normal(size=(rows, _ACTION)).astype(np.float32),
        images={camera: rng.integers(0, 256, shape, dtype=np.uint8) for camera in cameras},
    )


def make_agent(config: ActConfig, demos: DemoSet) -> Agent:
    """An untrained policy whose PB table is random: its arithmetic is that of a trained one."""
    policy = ActPolicy(config, Sizes(len(demos), _STATE, _ENVIRONMENT_STATE, _ACTION))
    assert policy.bias is not None
    torch.nn.init.normal_(policy.bias.table, generator=torch.Generator().manual_seed(0))
    return Agent(policy, Normalizer.of(demos), None)


def of_first_failure(agent: Agent, demos: DemoSet) -> tuple[Demo, torch.Tensor, torch.Tensor]:
    """The first failure, its PB, and those of every success."""
    assert agent.policy.bias is not None
    table, row = agent.policy.bias.table.detach(), int(np.argmin(demos.successes))
    return demos[row], table[row], table[demos.successes]


def naive_sample(
    agent: Agent, demos: DemoSet, *, frames: int, successes: int
) -> tuple[Callable[[], None], int]:
    """The plain ranking of some frames of the first failure, and how many policy runs it is."""
    failure, own, others = of_first_failure(agent, demos)
    part = Demo(
        failure.episode_index,
        failure.outcome,
        failure.state[:frames],
        failure.environment_state[:frames],
        failure.action[:frames],
        {camera: images[:frames] for camera, images in failure.images.items()},
    )

    def naive() -> None:
        divergences(agent, part, own, others[:successes])

    return naive, frames * (1 + successes)


def count(work: Callable[[], None]) -> int:
    """FLOPs of the matrix products and convolutions of a call; a multiply-add is two."""

    def attention(query, key, value, *_, **__) -> int:
        return sdpa_flop_count(query, key, value)

    on_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with FlopCounterMode(display=False, custom_mapping={on_cpu: attention}) as counter:
        work()
    return counter.get_total_flops()


def matrix_peak(size: int = 2048, repeats: int = 5) -> float:
    """FLOP/s of the machine on a large fp32 matrix product, the best of some."""
    a, b = torch.randn(2, size, size)
    return 2 * size**3 / min(seconds(lambda: torch.mm(a, b)) for _ in range(repeats))


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(pair: Pair, repeats: int = 5) -> Mapping[str, object]:
    """Medians over alternating repeats, each ratio taken within one repeat."""
    ours, naive, facts = pair
    for work in (ours, naive, matrix_peak):
        work()  # warm
    rounds = []
    for _ in range(repeats):
        peak, own, other = matrix_peak(), seconds(ours), seconds(naive) * facts.naive_factor
        rounds.append((own, other / own, facts.flops / own / peak, peak / 1e9))
    names = ("seconds", "times_faster", "share_of_matrix_peak", "peak_gflops")
    medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
    return asdict(facts) | dict(zip(names, medians, strict=True))


if __name__ == "__main__":
    for make_pair in (quick_pair, paper_pair):
        for name, value in measure(make_pair()).items():
            print(
                f"{name:>22}  {value:.4g}" if isinstance(value, float) else f"{name:>22}  {value}"
            )
        print()
