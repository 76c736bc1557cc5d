"""Named, complete settings for every stage: pick one by name and override what you like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from outtakes.data.demo import DemoSet
from outtakes.errors import ConfigError, DatasetError, UnknownName
from outtakes.evaluation.controller import ControllerConfig
from outtakes.evaluation.evaluate import Evaluation
from outtakes.policy.act.act import ActConfig
from outtakes.policy.act.loss import LossConfig
from outtakes.policy.eyes.frozen import FrozenEyes
from outtakes.sim.collect import CollectConfig
from outtakes.sim.initial_states import InitialStates, Stream
from outtakes.training.config import TrainConfig

Eyes = Literal["auto", "frozen", "tokens", "resnet"]
"""Frozen features in place of object poses, frozen features as tokens for the encoder, or a
ResNet-18 trained with the policy; "auto" is frozen on a CPU where there are no object poses."""


@dataclass(frozen=True)
class Recipe:
    """Everything a run of the whole pipeline needs to know."""

    name: str
    collect: CollectConfig
    """Demonstrations to collect in simulation."""
    policy: ActConfig
    """Settings of ACT; an arm sets its own condition."""
    train: TrainConfig
    controller: ControllerConfig
    seeds: tuple[int, ...]
    """Training seeds."""
    rollouts: int
    """Rollouts of every seed of every arm."""
    horizon: int | None
    """Control steps after which a rollout counts as failed; the task's own when None."""
    states: InitialStates
    """The initial states all arms share."""
    keep: int
    """Failures to keep when selecting."""
    image_size: int
    """Pixels on a side of the square images the policy and the report see."""
    eyes: Eyes = "auto"
    """How the policy looks, where it must: see `adapt`."""
    frozen: FrozenEyes = field(default_factory=FrozenEyes)
    """Settings of frozen eyes; cameras, form and image size are fitted to the dataset."""
    filmed: int = 3
    """Initial states whose rollouts the report shows side by side."""

    def __post_init__(self) -> None:
        if not self.seeds or self.rollouts < 1 or self.keep < 1:
            raise ConfigError(
                f"recipe {self.name} with {len(self.seeds)} seeds, {self.rollouts} rollouts and "
                f"{self.keep} failures to keep",
                remedy="give at least one of each",
            )
        check_seeds(self.seeds)

    @property
    def too_short(self) -> bool:
        """Whether its numbers mean nothing: no recipe that was measured trains for so little."""
        return self.train.steps < BRISK.train.steps

    @property
    def evaluation(self) -> Evaluation:
        """How every arm is rolled out."""
        return Evaluation(
            task=self.collect.environment,
            states=self.states,
            rollouts=self.rollouts,
            horizon=self.horizon,
            controller=self.controller,
            image_size=self.image_size,
        )


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse seeds that make no runs of their own.

    Raises:
        ConfigError: when one is negative or given twice.
    """
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise ConfigError(
            f"seeds {', '.join(map(str, seeds))}", remedy="give each seed once, none negative"
        )


QUICK = Recipe(
    name="quick",
    collect=CollectConfig(successes=50, failures=50, cameras=("overhead",), image_size=96),
    policy=ActConfig(
        chunk=16,
        width=48,
        heads=4,
        encoder_layers=1,
        decoder_layers=2,
        feed_forward=96,
        dropout=0.0,
        use_vae=False,
        loss=LossConfig(kl_weight=0.03, kl_cap=2.0),
        pb_learning_rate=1e-4,
    ),
    train=TrainConfig(
        steps=1_500,
        batch_size=32,
        learning_rate=5e-4,
        warmup=100,
        schedule="cosine",
        save_every=500,
        log_every=50,
    ),
    controller=ControllerConfig(replan=8, steering="mean"),
    seeds=(0, 1, 2, 3, 4),
    rollouts=100,
    horizon=80,
    states=InitialStates(Stream.EVALUATE, seed=0),
    keep=10,
    image_size=96,
)
"""The paper's experiment made far smaller, on low-dimensional state: a laptop's
instrument. Docs/log.md says how its numbers were chosen."""

BRISK = replace(
    QUICK,
    name="brisk",
    train=replace(QUICK.train, steps=500, learning_rate=1e-3, warmup=50),
)
"""Quick in a third of the steps at twice the rate; results/short-recipe/ has how it was chosen."""

SMOKE = replace(
    QUICK,
    name="smoke",
    collect=replace(QUICK.collect, successes=4, failures=4, image_size=64),
    train=replace(QUICK.train, steps=60, warmup=10, save_every=30, log_every=20),
    seeds=(0, 1),
    rollouts=4,
    keep=2,
    image_size=64,
    filmed=1,
)
"""The whole pipeline in about a minute, to see that it runs; its numbers mean nothing."""

PAPER = Recipe(
    name="paper",
    collect=CollectConfig(successes=50, failures=50, cameras=("overhead", "wrist"), image_size=224),
    policy=ActConfig(cameras=("overhead", "wrist")),
    train=TrainConfig(),
    controller=ControllerConfig(replan=100),
    seeds=(0, 1, 2, 3, 4),
    rollouts=100,
    horizon=150,
    states=InitialStates(Stream.EVALUATE, seed=0),
    keep=10,
    image_size=224,
    eyes="resnet",
)
"""The paper's own settings (Sec. 4.1): two cameras at 224², 100,000 steps. For a GPU."""


RECIPE_FPS = 20
"""Frames a second that the recipes' chunks are meant for: Lift's."""


def adapt(
    recipe: Recipe,
    demos: DemoSet,
    *,
    look: bool = False,
    chunk: int | None = None,
    pad: bool = False,
    device: str = "cpu",
) -> Recipe:
    """Fit a recipe to what a dataset offers.

    Without object poses the policy must see: it then looks through every camera. A recipe that
    names cameras or eyes looks through all the dataset has.

    Args:
        recipe: settings for Lift.
        demos: the dataset.
        look: look through every camera in any case, as the user has chosen them.
        chunk: action steps predicted at once, when the user has chosen; else see `fitting_chunk`.
        pad: whether episodes may be shorter than a chunk.
        device: where the policy is to be trained.

    Raises:
        DatasetError: when the policy is to look, and there is no camera.
    """
    policy, eyes = recipe.policy, chosen_eyes(recipe, demos, device)
    look = look or bool(policy.cameras) or eyes != "auto"
    cameras = tuple(sorted(demos.images)) if look else ()
    if recipe.eyes in ("frozen", "tokens") and not cameras:
        raise DatasetError(
            f"no camera for {recipe.eyes} eyes",
            where=demos.name,
            remedy="choose a dataset with cameras, or leave --eyes out",
        )
    frozen = frozen_eyes(recipe, cameras, eyes) if cameras else None
    policy = replace(policy, cameras=() if frozen else cameras, eyes=frozen)
    replan = recipe.controller.replan
    if chunk is None:
        chunk = fitting_chunk(recipe, demos, pad=pad)
        replan = max(1, round(replan * demos.fps / RECIPE_FPS))
    return replace(
        recipe,
        policy=replace(policy, chunk=chunk),
        controller=replace(recipe.controller, replan=min(replan, chunk)),
    )


def chosen_eyes(recipe: Recipe, demos: DemoSet, device: str) -> Eyes:
    """How the policy is to look; "auto" where it need not."""
    if recipe.eyes != "auto" or demos.environment_state.shape[1]:
        return recipe.eyes
    return "frozen" if device == "cpu" else "resnet"


def frozen_eyes(recipe: Recipe, cameras: Sequence[str], eyes: Eyes) -> FrozenEyes | None:
    """The recipe's frozen eyes on these cameras; None when it is not frozen ones that look."""
    if eyes not in ("frozen", "tokens"):
        return None
    form = "tokens" if eyes == "tokens" else "vector"
    size = recipe.image_size
    return replace(recipe.frozen, cameras=tuple(cameras), form=form, image_size=size)


def fitting_chunk(recipe: Recipe, demos: DemoSet, *, pad: bool) -> int:
    """As many steps as last as long as the recipe's chunk does at 20 frames a second.

    Unless episodes may be padded, it is shortened to the shortest of them, but by half at the
    most: one stub of an episode must not decide for all others.
    """
    wanted = max(2, round(recipe.policy.chunk * demos.fps / RECIPE_FPS))
    shortest = int(demos.lengths.min())
    return shortest if not pad and wanted / 2 <= shortest < wanted else wanted


def on_task(recipe: Recipe, task: str) -> Recipe:
    """The recipe on another simulated task, whose own horizon then holds."""
    if task == recipe.collect.environment:
        return recipe
    return replace(recipe, collect=replace(recipe.collect, environment=task), horizon=None)


RECIPES = {recipe.name: recipe for recipe in (QUICK, BRISK, SMOKE, PAPER)}


def recipe(name: Recipe | str) -> Recipe:
    """The recipe of this name; one in place of a name is taken as it is.

    Raises:
        UnknownName: when there is none.
    """
    if isinstance(name, Recipe):
        return name
    if name not in RECIPES:
        raise UnknownName("recipe", name, RECIPES)
    return RECIPES[name]
