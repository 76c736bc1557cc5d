"""What an experiment leaves for people to look at: filmed rollouts, and the map of retrieval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from outtakes.evaluation.exhibits import (
    FilmedRollout,
    RetrievalPlane,
    common_plane,
    save_films,
)
from outtakes.evaluation.rolling_out import observe, roll_out
from outtakes.evaluation.rollouts import Rollout, RolloutLog, treatment
from outtakes.experiments.folder import FILMS, RETRIEVAL
from outtakes.experiments.lab import Lab
from outtakes.experiments.runs import ROLLOUTS, run_folder
from outtakes.policy.act.act import ActPolicy
from outtakes.policy.act.retrieval import retrieval_camera
from outtakes.policy.checkpoint import Checkpoint
from outtakes.report.media import write_video
from outtakes.sim.environment import Environment, make_environment

FILM_SIZE = 224
"""Pixels on a side of filmed rollouts."""


@dataclass(frozen=True)
class Actor:
    """A trained run and how it is steered."""

    arm: str
    run: Path
    """Its folder."""
    steering: str
    """See `Arm.steerings`."""

    @property
    def treatment(self) -> str:
        """Its name in comparisons."""
        return treatment(self.arm, self.steering)


def film_runs(lab: Lab, runs: Sequence[Path], count: int) -> list[Path]:
    """Film rollouts of evaluated runs, as `evaluate` steered them; returns the videos."""
    log = RolloutLog.load(lab.out / ROLLOUTS)
    wanted = lab.recipe.controller.steering
    actors = [
        Actor(run.absolute().parent.name, run, Checkpoint.load(run).config.steering(wanted))
        for run in runs
    ]
    return [lab.out / film.video for film in film(lab, log, actors, count=count)]


def film(lab: Lab, log: RolloutLog, actors: Sequence[Actor], *, count: int) -> list[FilmedRollout]:
    """Film rollouts of some runs from the same initial states, and write `films.json`."""
    chosen = telling_states(log, [actor.treatment for actor in actors], count)
    films = []
    for done, actor in enumerate(actors):
        lab.say(done, len(actors), "film")
        films += [_film_one(lab, actor, index) for index in chosen]
    lab.say(len(actors), len(actors), "film")
    save_films(lab.out / FILMS, films)
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
        config=replace(recipe.controller, steering=actor.steering),
        indices=[index],
        image_size=recipe.image_size,
        watch=shoot,
    )[0]
    steering = f"-{actor.steering}" if actor.steering else ""
    name = f"{actor.arm}{steering}-{checkpoint.seed}-{index}.mp4"
    video = lab.out / "media" / "rollouts" / name
    write_video(video, np.stack(frames), environment.fps)
    path = video.relative_to(lab.out).as_posix()
    return FilmedRollout(index, actor.treatment, checkpoint.seed, rollout.success, path)


def telling_states(log: RolloutLog, treatments: Sequence[str], count: int) -> list[int]:
    """Initial states to show, chosen by a fixed rule: first those on which the arms disagree.

    Only the first seed of each counts, since that is the one to be filmed.
    """
    outcomes: dict[int, set[bool]] = {}
    for name in treatments:
        first = min(r.seed for r in log.rollouts if r.treatment == name)
        for r in log.rollouts:
            if (r.treatment, r.seed) == (name, first):
                outcomes.setdefault(r.initial_state, set()).add(r.success)
    return sorted(outcomes, key=lambda state: (-len(outcomes[state]), state))[:count]


def map_retrieval(lab: Lab, log: RolloutLog, arm: str, steering: str) -> None:
    """Write `retrieval.json`: which success each rollout of one run was matched with."""
    seed, recipe = lab.recipe.seeds[0], lab.recipe
    agent = Checkpoint.load(run_folder(lab.out, arm, seed)).agent(lab.device)
    policy = agent.policy
    if not isinstance(policy, ActPolicy) or policy.bank is None:
        return
    environment = make_environment(recipe.collect.environment)
    firsts = []
    for state in recipe.states.first(environment, recipe.rollouts):
        environment.reset(state)
        firsts.append(observe(environment, agent.cameras, agent.image_size or recipe.image_size))
    raw = {name: np.stack([first[name] for first in firsts]) for name in firsts[0]}
    queries = policy.embed(agent.observation(raw)).cpu().numpy()
    bank, points = common_plane(policy.bank.embeddings.cpu().numpy(), queries)
    shown = (treatment(arm, steering), seed)
    rollouts = {r.initial_state: r for r in log.rollouts if (r.treatment, r.seed) == shown}
    camera = retrieval_camera(agent.cameras)
    RetrievalPlane(
        arm=arm,
        seed=seed,
        label=f"first {camera} image" if camera else "first state",
        bank=_placed(policy.bank.episodes.tolist(), bank),
        queries=_matched(rollouts, points),
    ).save(lab.out / RETRIEVAL)


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
