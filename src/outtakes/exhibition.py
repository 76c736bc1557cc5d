"""The last stage: film rollouts, map retrieval, and write the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from outtakes.arms import mean_of, run_folder
from outtakes.data.demo import DemoSet
from outtakes.data.outcomes import FOLDERS
from outtakes.data.source import is_pair
from outtakes.evaluation.exhibits import (
    FilmedRollout,
    RetrievalPlane,
    common_plane,
    save_films,
)
from outtakes.evaluation.rollout import observe, roll_out
from outtakes.evaluation.rollouts import Rollout, RolloutLog
from outtakes.ledger import write_setup
from outtakes.policy.retrieval import embed
from outtakes.report.content import ReportContent
from outtakes.report.html import write_report
from outtakes.report.media import write_video
from outtakes.selection.scores import Scores
from outtakes.selection.select import Selection
from outtakes.sim.environment import Environment, make_environment
from outtakes.stages import Lab
from outtakes.study import BASELINE, RANKED, SELECTED
from outtakes.summary import gather
from outtakes.training.checkpoint import Checkpoint
from outtakes.triage import arms_of


@dataclass(frozen=True)
class Actor:
    """A trained run and how it is steered."""

    arm: str
    """Arm in the rollout log."""
    run: Path
    """Its folder."""
    neighbours: int
    """`ControllerConfig.neighbours`."""


FILM_SIZE = 224
"""Pixels on a side of filmed rollouts."""


def show_demo(lab: Lab) -> Path:
    """Film rollouts of the demo's or study's arms and write its report."""
    log = RolloutLog.load(lab.out / "rollouts.parquet")
    if not (lab.out / "films.json").exists():
        seed = lab.recipe.seeds[0]
        actors = [
            Actor(arm, run_folder(lab.out, runs, seed), neighbours)
            for arm, runs, neighbours in (
                (BASELINE, BASELINE, 1),
                (RANKED, RANKED, 1),
                (mean_of(SELECTED), SELECTED, 0),
            )
        ]
        with lab.timed("film"):
            film(lab, log, actors, count=lab.recipe.filmed)
    map_retrieval(lab, log, SELECTED)
    with lab.timed("report"):
        return write_report(gather(lab.out), lab.out)


def show_triage(lab: Lab, demos: DemoSet, dataset: Path, name: str) -> ReportContent:
    """Write the report of a triage; `name` is what the user calls the dataset."""
    scores = Scores.load(lab.out / "scores.json")
    selection = Selection.load(lab.out / "selection.json")
    arms = arms_of(demos, scores, selection)
    argument = selection.as_lerobot_argument()
    write_setup(
        lab,
        title=f"which failures of {Path(name).name} to keep",
        dataset=dataset.absolute(),
        labels={name: label for name, (label, _) in arms.items()},
        paper={},
        retrained="",
        next_commands=[
            *_lerobot_commands(lab, dataset, argument),
            f"outtakes train {dataset} --recipe {lab.recipe.name} --image-size "
            f"{lab.recipe.image_size} {lab.reading.flags()} --select {lab.out / 'selection.json'} "
            f"--out {lab.out}",
        ],
    )
    content = gather(lab.out)
    write_report(content, lab.out)
    return content


def _lerobot_commands(lab: Lab, dataset: Path, argument: str) -> list[str]:
    """How LeRobot trains on the selection; it first merges a dataset that is two folders."""
    root, merge = dataset, []
    if is_pair(dataset):
        root = lab.out / "merged"
        merge = [
            f"lerobot-edit-dataset --new_repo_id local/merged --new_root {root} "
            f'--operation.type merge --operation.repo_ids "{list(FOLDERS)}" '
            f'--operation.roots "{[str(dataset / name) for name in FOLDERS]}"'
        ]
    return [*merge, f"lerobot-train --policy.type=act --dataset.root={root} {argument}"]


def film_runs(lab: Lab, runs: Sequence[Path], count: int) -> list[Path]:
    """Film rollouts of evaluated runs, as `evaluate` steered them; returns the videos."""
    log = RolloutLog.load(lab.out / "rollouts.parquet")
    neighbours = lab.recipe.controller.neighbours
    actors = [Actor(run.absolute().parent.name, run, neighbours) for run in runs]
    return [lab.out / film.video for film in film(lab, log, actors, count=count)]


def film(lab: Lab, log: RolloutLog, actors: Sequence[Actor], *, count: int) -> list[FilmedRollout]:
    """Film rollouts of some runs from the same initial states, and write `films.json`."""
    chosen = telling_states(log, [actor.arm for actor in actors], count)
    films = []
    for done, actor in enumerate(actors):
        lab.say(done, len(actors), "film")
        films += [_film_one(lab, actor, index) for index in chosen]
    lab.say(len(actors), len(actors), "film")
    save_films(lab.out / "films.json", films)
    return films


def _film_one(lab: Lab, actor: Actor, index: int) -> FilmedRollout:
    """Roll one policy out again from one initial state, this time before the camera."""
    recipe, checkpoint = lab.recipe, Checkpoint.load(actor.run)
    environment = make_environment(recipe.collect.environment, horizon=recipe.horizon)
    frames: list[np.ndarray] = []

    def shoot(state: int, step: int, scene: Environment) -> None:
        frames.append(scene.render(scene.cameras[0], FILM_SIZE, FILM_SIZE))

    rollout = roll_out(
        checkpoint.agent(lab.device),
        [environment],
        recipe.states.first(environment, recipe.rollouts),
        arm=actor.arm,
        seed=checkpoint.seed,
        config=replace(recipe.controller, neighbours=actor.neighbours),
        indices=[index],
        image_size=recipe.image_size,
        watch=shoot,
    )[0]
    name = f"{actor.arm}-{checkpoint.seed}-{index}.mp4"
    video = lab.out / "media" / "rollouts" / name
    write_video(video, np.stack(frames), environment.fps)
    path = video.relative_to(lab.out).as_posix()
    return FilmedRollout(index, actor.arm, checkpoint.seed, rollout.success, path)


def telling_states(log: RolloutLog, arms: Sequence[str], count: int) -> list[int]:
    """Initial states to show, chosen by a fixed rule: first those on which the arms disagree.

    Only the first seed of each arm counts, since that is the one to be filmed.
    """
    outcomes: dict[int, set[bool]] = {}
    for arm in arms:
        first = min(r.seed for r in log.rollouts if r.arm == arm)
        for r in log.rollouts:
            if (r.arm, r.seed) == (arm, first):
                outcomes.setdefault(r.initial_state, set()).add(r.success)
    return sorted(outcomes, key=lambda state: (-len(outcomes[state]), state))[:count]


def map_retrieval(lab: Lab, log: RolloutLog, arm: str) -> None:
    """Write `retrieval.json`: which success each rollout of one run was matched with."""
    seed = lab.recipe.seeds[0]
    checkpoint = Checkpoint.load(run_folder(lab.out, arm, seed))
    agent = checkpoint.agent(lab.device)
    if agent.bank is None:
        return
    environment = make_environment(lab.recipe.collect.environment)
    states = lab.recipe.states.first(environment, lab.recipe.rollouts)
    firsts = []
    for state in states:
        environment.reset(state)
        firsts.append(observe(environment, agent.cameras, lab.recipe.image_size))
    raw = {name: np.stack([first[name] for first in firsts]) for name in firsts[0]}
    queries = embed(agent.policy, agent.observation(raw), agent.bank.camera).cpu().numpy()
    bank, points = common_plane(agent.bank.embeddings.cpu().numpy(), queries)
    rollouts = {r.initial_state: r for r in log.rollouts if (r.arm, r.seed) == (arm, seed)}
    what = f"first {agent.bank.camera} image" if agent.bank.camera else "first state"
    RetrievalPlane(
        arm=arm,
        seed=seed,
        label=what,
        bank=_placed(agent.bank.episodes.tolist(), bank),
        queries=_matched(rollouts, points),
    ).save(lab.out / "retrieval.json")


def _placed(episodes: Sequence[int], points: np.ndarray) -> list[tuple[int, float, float]]:
    return [(e, float(x), float(y)) for e, (x, y) in zip(episodes, points, strict=True)]


def _matched(
    rollouts: Mapping[int, Rollout], points: np.ndarray
) -> list[tuple[int, float, float, int, bool]]:
    return [
        (i, float(x), float(y), rollouts[i].retrieved_episode, rollouts[i].success)
        for i, (x, y) in enumerate(points)
        if i in rollouts
    ]
