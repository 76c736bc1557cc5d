"""Commands of an experiment: shell lines that do what is recommended, whole and ready to be run."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from outtakes.data.demo import DemoSet, Outcome
from outtakes.data.lerobot.episode_list import unlike_lerobot
from outtakes.data.lerobot.layout import CAMERA_PREFIX, Layout
from outtakes.data.lerobot.location import find_layout
from outtakes.evaluation.recommendation import Command, Decision, Recommendation
from outtakes.experiments.arm import without_failures
from outtakes.experiments.folder import SCORES, SELECTION, SUCCESSES
from outtakes.experiments.lab import Lab
from outtakes.experiments.recipes import QUICK, RECIPES, Recipe, fitting_chunk
from outtakes.experiments.runs import run_folder
from outtakes.experiments.ways import BASELINE
from outtakes.policy.checkpoint import FILE, Checkpoint
from outtakes.ranking.scores import Scores
from outtakes.selection.select import Choice, Selection

_EVERYTHING = "everything.json"


@dataclass(frozen=True)
class _Way:
    """A choice of episodes to train on."""

    name: str
    """Of its folders."""
    what: str
    """For people."""
    file: Path
    selection: Selection
    arm: str = ""
    """Whose runs were trained on it here; "" where none were."""


def training_commands(
    lab: Lab,
    demos: DemoSet,
    dataset: Path,
    selection: Selection,
    recommended: Recommendation,
    *,
    simulated: bool = False,
) -> tuple[Command, ...]:
    """How to train on what is recommended first, then on what to compare it with.

    Where nothing can be told before it is run again, with more training, that comes first. Writes
    the selections that they name beside `selection.json`.

    Args:
        lab: the experiment.
        demos: the dataset.
        dataset: its folder.
        selection: the failures that were chosen before anything was measured.
        recommended: what came of it.
        simulated: whether the demonstrations are of a simulated task.
    """
    layout = find_layout(dataset)
    commands: list[Command] = []
    if recommended.again:
        policy = recommended.policy
        commands.append(
            _demo_again(lab) if simulated else _again(lab, demos, layout.home, selection, policy)
        )
    for way in _ways(lab, demos, selection, recommended):
        own = _outtakes(lab, demos, layout.home, way, recommended.policy)
        commands += [*_lerobot(lab, layout, way), own]
    return tuple(commands)


def demo_commands(lab: Lab) -> tuple[Command, ...]:
    """What a demo or study in simulation leads to."""
    task, recipe = lab.recipe.collect.environment, lab.recipe.name
    out = lab.out.absolute()
    study = ("study", "paper", "--task", task, "--recipe", recipe, "--out", f"{out}-study")
    triage = ("triage", str(out / "dataset"), "--recipe", recipe, "--out", f"{out}-triage")
    return (
        Command("Repeat it with more ways of training, more seeds and the controls", _own(*study)),
        Command(
            "Ask the same without a simulator; put the path of your own dataset in place of this "
            "one",
            _own(*triage),
        ),
    )


def _ways(
    lab: Lab, demos: DemoSet, selection: Selection, recommended: Recommendation
) -> Iterator[_Way]:
    out = lab.out.absolute()
    none = _keeping(demos, ())
    alone = _Way("successes", "the successes alone", out / SUCCESSES, none, BASELINE)
    chosen = recommended.tried[0]
    if recommended.decision is Decision.USE and recommended.failures != chosen.failures:
        every = _keeping(demos, recommended.failures)
        added = _Way(
            "everything", "successes and failures", out / _EVERYTHING, every, recommended.arm
        )
    else:
        what = f"the successes and {chosen.what}"
        added = _Way("selected", what, out / SELECTION, selection, chosen.arm)
    order = {
        Decision.USE: (added, alone),
        Decision.LEAVE_OUT: (alone,),
        Decision.UNCLEAR: (alone,) if recommended.again else (alone, added),
    }
    for way in order[recommended.decision]:
        way.selection.save(way.file)
        yield way


def _keeping(demos: DemoSet, failures: Sequence[int]) -> Selection:
    """Every success and these failures."""
    choices = [
        Choice(int(e), bool(success) or int(e) in failures, "success" if success else "failure")
        for e, success in zip(demos.episode_indices, demos.successes, strict=True)
    ]
    return Selection(demos.name, demos.content_hash, "recommended", choices)


def _demo_again(lab: Lab) -> Command:
    """The same demo with a recipe whose numbers mean something."""
    words = ("demo", "--task", lab.recipe.collect.environment)
    again = _own(*words, "--out", f"{lab.out.absolute()}-again")
    return Command("Run it again, with enough training to tell", again)


def _again(lab: Lab, demos: DemoSet, home: Path, selection: Selection, policy: str) -> Command:
    """The same triage with a recipe whose numbers mean something."""
    named = _named(lab.recipe)
    recipe = QUICK if named.too_short else named
    failures = demos.episodes(Outcome.FAILURE)
    by = Scores.load(lab.out / SCORES).measure.key
    words = ["triage", str(home.absolute()), *_read_alike(lab, recipe)]
    words += ["--by", by, "--count", str(len(set(failures).intersection(selection.kept)))]
    if selection.rule in ("worst", "low", "mid", "high", "random"):
        words += ["--keep", selection.rule]
    if policy != "act-pb":
        words += ["--policy", policy]
    chunk = lab.recipe.policy.chunk
    if chunk != fitting_chunk(recipe, demos, pad=False):
        words += ["--chunk", str(chunk)]
    if demos.lengths.min() < chunk:
        words += ["--short-episodes", "pad"]
    words += ["--out", f"{lab.out.absolute()}-again"]
    return Command("Run it again, with enough training to tell", _own(*words))


def _outtakes(lab: Lab, demos: DemoSet, home: Path, way: _Way, policy: str) -> Command:
    """Training by the recipe, of the kind of policy that was measured."""
    recipe, named = lab.recipe, _named(lab.recipe)
    words = ["train", str(home.absolute()), "--select", str(way.file), *_read_alike(lab, named)]
    words += ["--chunk", str(recipe.policy.chunk)]
    if demos.lengths.min() < recipe.policy.chunk:
        words += ["--short-episodes", "pad"]
    words += _trained_alike(lab, way.arm, named)
    if named.seeds != recipe.seeds:
        words += ["--seeds", *map(str, recipe.seeds)]
    if not set(way.selection.kept).intersection(demos.episodes(Outcome.FAILURE)):
        policy = without_failures(policy)
    words += ["--policy", policy, "--out", str(lab.out.absolute() / f"train-{way.name}")]
    return Command(f"Train the kind of policy that was measured here on {way.what}", _own(*words))


def _trained_alike(lab: Lab, arm: str, named: Recipe) -> Iterator[str]:
    """The flags that, with a recipe, train as the arm was trained here."""
    run = run_folder(lab.out, arm, lab.recipe.seeds[0])
    own: dict[str, object] = asdict(lab.recipe.train)
    if arm and (run / FILE).exists():
        own |= Checkpoint.load(run).training
    for setting in ("steps", "schedule", "ema"):
        if own[setting] != getattr(named.train, setting):
            yield from (f"--{setting}", str(own[setting]))


def _named(recipe: Recipe) -> Recipe:
    """The recipe as the command line knows it."""
    return RECIPES.get(recipe.name, QUICK)


def _read_alike(lab: Lab, recipe: Recipe) -> list[str]:
    """The flags that, with a recipe, read the dataset as it was read."""
    labels = lab.reading.labels
    reading = replace(lab.reading, labels=labels and labels.absolute())
    asked, own = lab.recipe.image_size, _named(lab.recipe).image_size
    size = ["--image-size", str(asked)] if asked != own else []
    return ["--recipe", recipe.name, *size, *shlex.split(reading.flags())]


def _lerobot(lab: Lab, layout: Layout, way: _Way) -> Iterator[Command]:
    """Training of LeRobot's own ACT, which must see something; on a copy where it must be one."""
    seen = any(f.startswith(CAMERA_PREFIX) for f in layout.features)
    if not seen and "observation.environment_state" not in layout.features:
        return
    out, root = lab.out.absolute(), layout.home.absolute()
    episodes = [way.selection.as_lerobot_argument()]
    if unlike_lerobot(layout) is not None:
        export = out / f"export-{way.name}"
        flags = _read_alike(lab, _named(lab.recipe))
        words = ("export", str(root), "--select", str(way.file), *flags)
        yield Command(
            f"Copy {way.what} into a dataset that LeRobot reads",
            _own(*words, "--out", str(export)),
        )
        root, episodes = export / "dataset", []
    name = re.sub(r"[^\w.-]+", "-", layout.home.name) or "dataset"
    yield Command(
        f"Train LeRobot's ACT on {way.what}",
        shlex.join(
            [
                program("lerobot-train"),
                "--policy.type=act",
                "--policy.push_to_hub=false",
                f"--dataset.repo_id=local/{name}",
                f"--dataset.root={root}",
                *episodes,
                f"--output_dir={out / f'lerobot-{way.name}'}",
            ]
        ),
    )


def _own(*words: str) -> str:
    return shlex.join([program("outtakes"), *words])


def program(name: str) -> str:
    """A program of this Python's, by its name where that finds it, else by its path."""
    own, found = Path(sys.executable).with_name(name), shutil.which(name)
    if own.exists() and (found is None or not Path(found).samefile(own)):
        return str(own)
    return name
