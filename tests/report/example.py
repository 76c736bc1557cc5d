"""A report's content with values such as a study of Lift gives, and videos of a moving square."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from outtakes.evaluation.recommendation import Command, recommend
from outtakes.report.content import (
    ArmRow,
    Correlation,
    Curve,
    DemonstrationMap,
    FailureCard,
    MapPoint,
    MeasureWords,
    Query,
    ReportContent,
    RetrievalMap,
    RolloutVideo,
)
from outtakes.report.media import write_thumbnails, write_video
from tests.evaluation.test_recommendation import EVIDENCE

MEASURE = MeasureWords(
    name="attention divergence",
    symbol="K̄",
    unit="nats",
    meaning="How differently the policy pays attention.",
    over_time="divergence averaged over the successes",
)
FPS = 20.0
COMMANDS = (
    Command("Train on it", "outtakes train lift --select selection.json --out train"),
    Command("Repeat it", "outtakes study paper --recipe quick --out outtakes-study"),
)
FRAMES = 60
KINDS = ("off_centre", "too_high", "slip")


def moving_square(hue: int, frames: int = FRAMES, side: int = 96) -> np.ndarray:
    """(frames, side, side, 3) uint8: a square that crosses a table, its place telling the time."""
    video = np.full((frames, side, side, 3), (214, 206, 192), dtype=np.uint8)
    video[:, side // 2 :] = (188, 178, 160)
    colour = np.array([(196, 62, 48), (44, 98, 176), (52, 146, 92)][hue % 3], dtype=np.uint8)
    size = side // 5
    for i in range(frames):
        left, top = (
            round(i * (side - size) / max(frames - 1, 1)),
            (side // 3 + 7 * hue) % (side - size),
        )
        video[i, top : top + size, left : left + size] = colour
    return video


def example_content(out: Path, failures: int = 12, successes: int = 20) -> ReportContent:
    """Everything a report can show; its media are written below `out`."""
    rng = np.random.default_rng(3)
    cards = _cards(out / "media", failures, successes, rng)
    return ReportContent(
        title="Lift, 20 successes and 12 failures",
        recommendation=replace(recommend(EVIDENCE), commands=COMMANDS),
        measure="success rate",
        higher_is_better=True,
        measure_note="Share of rollouts in which the cube is lifted more than 4 cm, over the same "
        "100 initial states in every arm.",
        arms=_arms(),
        curves=_curves(),
        ranked_by=MEASURE,
        cards=cards,
        kendall_tau=0.58,
        n_successes=successes,
        tasks=[],
        maps=[
            _bias_map("All failures", cards, successes, rng),
            _bias_map("The 4 nearest failures", cards[:4], successes, rng),
        ],
        retrieval=_retrieval(out / "media", successes, rng),
        rollout_videos=_rollouts(out / "media"),
        correlation=_correlation(cards),
        provenance={
            "dataset": "outtakes/lift, 32 episodes, 20 frames a second",
            "content hash": "6b1f4f0b5b0d7a3c9c3f2c7e1a8d4e5f60718293a4b5c6d7e8f9012345678900",
            "recipe": "quick: d 128, 3 decoder layers, chunk 40, 4,000 steps",
            "commit": "3f9c2ab71d04+",
            "machine": "2 cores, no GPU, Linux 6.1",
            "duration": "training 2 h 41 min, rollouts 38 min",
        },
    )


def _curves() -> list[Curve]:
    steps = (300, 600, 1_000, 1_500, 2_500, 4_000)
    return [
        Curve("ACT, successes only", steps, [0.08, 0.1, 0.13, 0.18, 0.2, 0.19], 2_500),
        Curve("ACT, all failures", steps, [0.22, 0.38, 0.5, 0.46, 0.36, 0.3], 1_000),
        Curve("PB + KL, all failures", steps, [0.3, 0.44, 0.55, 0.5, 0.41, 0.35], 1_000),
    ]


def _arms() -> list[ArmRow]:
    def arm(name, seeds, difference=None, low=None, high=None, p=None, paper=""):
        mean = float(np.mean(seeds))
        half = 0.035 + float(np.std(seeds))
        return ArmRow(name, mean, mean - half, mean + half, seeds, difference, low, high, p, paper)

    return [
        arm("ACT, successes only", [0.70, 0.74, 0.68, 0.71, 0.73], paper="71.0 ± 3.39"),
        arm(
            "ACT, all failures",
            [0.62, 0.73, 0.66, 0.70, 0.65],
            -0.04,
            -0.091,
            0.011,
            0.31,
            "71.6 ± 5.22",
        ),
        arm(
            "PB, successes only",
            [0.72, 0.76, 0.71, 0.75, 0.73],
            0.022,
            -0.021,
            0.065,
            0.62,
            "74.2 ± 3.63",
        ),
        arm(
            "PB + KL, all failures",
            [0.75, 0.79, 0.70, 0.77, 0.73],
            0.036,
            -0.012,
            0.084,
            0.31,
            "77.8 ± 2.59",
        ),
        arm(
            "PB + KL, 4 nearest failures",
            [0.78, 0.80, 0.74, 0.76, 0.79],
            0.062,
            0.011,
            0.113,
            0.018,
            "79.4 ± 4.56",
        ),
        arm(
            "PB + KL, 4 farthest failures",
            [0.66, 0.72, 0.63, 0.70, 0.69],
            -0.032,
            -0.083,
            0.019,
            0.31,
            "71.8 ± 3.35",
        ),
        arm(
            "PB + KL, 4 random failures",
            [0.72, 0.78, 0.69, 0.75, 0.71],
            0.018,
            -0.03,
            0.066,
            0.62,
            "75.8 ± 5.40",
        ),
        arm(
            "Label token instead of PB", [0.70, 0.75, 0.67, 0.72, 0.70], -0.004, -0.05, 0.042, 0.86
        ),
    ]


def _cards(
    media: Path, failures: int, successes: int, rng: np.random.Generator
) -> list[FailureCard]:
    ks = np.sort(1.2 + rng.gamma(2.0, 1.4, size=failures))
    episodes = successes + rng.permutation(failures)
    nearest = write_video(media / "success.mp4", moving_square(1), FPS)
    return [_card(media, i, int(episodes[i]), float(ks[i]), nearest, rng) for i in range(failures)]


def _card(
    media: Path, i: int, episode: int, k: float, nearest: Path, rng: np.random.Generator
) -> FailureCard:
    frames = moving_square(i)
    name = f"episode-{episode}"
    time = np.linspace(0, 1, FRAMES)
    bump = np.exp(-(((time - 0.3 - 0.5 * rng.random()) / 0.12) ** 2))
    over_time = k / 20 * (0.35 + 2.2 * bump + 0.1 * rng.random(FRAMES))
    return FailureCard(
        episode=episode,
        rank=i + 1,
        score=k,
        per_seed={seed: k * float(rng.uniform(0.75, 1.25)) for seed in range(5)},
        over_time=[float(value) for value in over_time],
        kept=i < 4,
        reason=f"rank {i + 1}, {'' if i < 4 else 'not '}among the 4 ranked first",
        nearest_success=int(rng.integers(20)),
        fps=FPS,
        mistake=KINDS[i % 3],
        mistake_size=float(rng.uniform(0.005, 0.06)),
        mistake_unit="m",
        video=write_video(media / f"{name}.mp4", frames, FPS),
        nearest_video=nearest,
        thumbnails=write_thumbnails(media, name, frames),
    )


def _bias_map(
    title: str, cards: list[FailureCard], successes: int, rng: np.random.Generator
) -> DemonstrationMap:
    points = []
    for episode in range(successes):
        x, y = rng.normal((1, 0.4), 0.7)
        points.append(MapPoint(episode, True, float(x), float(y)))
    for card in cards:
        x, y = rng.normal((0.6 - 0.5 * card.score, 0), 0.6)
        points.append(MapPoint(card.episode, False, float(x), float(y), card.score))
    return DemonstrationMap(title, "parametric bias", points)


def _retrieval(media: Path, successes: int, rng: np.random.Generator) -> RetrievalMap:
    places = rng.uniform((-0.1, -0.2), (0.1, 0.2), size=(successes, 2))
    bank = [MapPoint(e, True, float(x), float(y)) for e, (x, y) in enumerate(places)]
    queries = []
    for i in range(30):
        x, y = rng.uniform((-0.1, -0.2), (0.1, 0.2))
        match = int(np.argmin(np.hypot(*(places - (x, y)).T)))
        queries.append(Query(i, float(x), float(y), match, bool(rng.random() < 0.75)))
    thumbnails = {
        e: write_thumbnails(media, f"start-{e}", moving_square(e), 1)[0] for e in range(6)
    }
    return RetrievalMap("cube's x (m)", "cube's y (m)", bank, queries, thumbnails)


def _rollouts(media: Path) -> list[RolloutVideo]:
    arms = ["ACT, successes only", "ACT, all failures", "PB + KL, 4 nearest failures"]
    return [
        RolloutVideo(
            initial_state=state,
            arm=arm,
            success=(state + i) % 3 != 0,
            video=write_video(media / f"rollout-{state}-{i}.mp4", moving_square(i + state), FPS),
        )
        for state in (3, 17)
        for i, arm in enumerate(arms)
    ]


def _correlation(cards: list[FailureCard]) -> Correlation:
    pairs = [(card.mistake_size or 0.0, card.score, card.mistake) for card in cards]
    return Correlation(0.34, -0.28, 0.76, 0.27, len(pairs), pairs, "size of the mistake (m)")
