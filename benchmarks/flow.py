"""ACT, the flow policy and LeRobot's own DiffusionPolicy at equal training, from tuning states.

    python -m benchmarks.flow OUT --task lift --successes 20

Needs `diffusers` beside LeRobot. All three learn from the same batches at the same rates in the
same loop, act by the same moving average and are rolled out from the same states, none of which
any reported figure uses. Leaves OUT/flow-<task>.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy

from benchmarks.side_by_side import machine
from outtakes import version
from outtakes.data.batches import Batch
from outtakes.data.demo import DemoSet, Outcome
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.observation import Observation, Sizes
from outtakes.data.reading import Reading
from outtakes.evaluation.evaluate import evaluate
from outtakes.evaluation.statistics import success_rate
from outtakes.experiments.arm import Arm, act_arm, policy_arm
from outtakes.experiments.datasets import record
from outtakes.experiments.recipes import QUICK, Recipe, on_task
from outtakes.policy.checkpoint import Checkpoint
from outtakes.policy.policy import Losses, Policy, PolicyConfig, Steering
from outtakes.sim.initial_states import InitialStates, Stream
from outtakes.training.trainer import train_together

COLLECTED, STATES = 1001, 777
"""Seeds of the demonstrations and of the initial states, kept for tuning."""
_REACH = 5.0
"""Standard deviations at which the diffusion clips its samples: their actions are in [-1, 1]."""


@dataclass(frozen=True, kw_only=True)
class TheirsConfig(PolicyConfig):
    """LeRobot's DiffusionPolicy on one observed step, small enough for a CPU."""

    kind: ClassVar[str] = "lerobot-diffusion"
    down_dims: tuple[int, ...] = (32, 64, 128)
    """Channels of its U-Net; (512, 1024, 2048) by default, which no CPU trains in minutes."""
    inference_steps: int | None = None
    """Denoising steps; as many as in training, 100, when None."""

    def build(self, sizes: Sizes) -> Theirs:
        """A fresh policy; weights are drawn from torch's global generator."""
        return Theirs(self, sizes)


class Theirs(Policy):
    """LeRobot's policy in our loop."""

    def __init__(self, config: TheirsConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        feature = PolicyFeature
        self.theirs = DiffusionPolicy(
            DiffusionConfig(
                input_features={
                    "observation.state": feature(FeatureType.STATE, (sizes.state,)),
                    "observation.environment_state": feature(
                        FeatureType.ENV, (sizes.environment_state,)
                    ),
                },
                output_features={"action": feature(FeatureType.ACTION, (sizes.action,))},
                n_obs_steps=1,
                horizon=config.chunk,
                n_action_steps=config.chunk,
                drop_n_last_frames=0,
                down_dims=config.down_dims,
                do_mask_loss_for_padding=True,
                clip_sample_range=_REACH,
                num_inference_steps=config.inference_steps,
                device="cpu",
            )
        )

    def losses(self, batch: Batch, generator: torch.Generator | None = None) -> Losses:
        """Theirs, whose noise is torch's global generator's."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0 if generator is None else generator.initial_seed())
            loss = self.theirs.diffusion.compute_loss(
                {**_seen(batch.observation), "action": batch.action, "action_is_pad": ~batch.valid}
            )
        return Losses(loss, {"loss/diffusion": loss})

    def act(
        self, seen: Observation, steering: Steering, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """(B, L, A) chunks sampled by their scheduler."""
        model = self.theirs.diffusion
        condition = model._prepare_global_conditioning(_seen(seen))
        return model.conditional_sample(len(seen), condition, generator)


def _seen(observation: Observation) -> dict[str, torch.Tensor]:
    return {
        "observation.state": observation.state[:, None],
        "observation.environment_state": observation.environment_state[:, None],
    }


def arms_of(recipe: Recipe, episodes: list[int]) -> list[Arm]:
    """What is compared."""
    act = act_arm(recipe, "act", "ACT", episodes)
    flow = policy_arm(recipe, "flow", "flow", "flow matching", episodes)
    theirs = TheirsConfig(chunk=recipe.policy.chunk)
    diffusion = replace(flow, name=TheirsConfig.kind, label="DiffusionPolicy", policy=theirs)
    return [replace(act, training=flow.training), flow, diffusion]


def measure(arm: Arm, demos: DemoSet, recipe: Recipe, seeds: list[int]) -> dict[str, Any]:
    """Success and times of one arm."""
    own = demos.subset(list(arm.episodes))
    with tempfile.TemporaryDirectory() as runs:
        folders = {seed: Path(runs) / str(seed) for seed in seeds}
        before = time.process_time()
        trained = train_together(own, folders, policy=arm.policy, config=arm.training)
        step = (time.process_time() - before) / (arm.training.steps * len(seeds))
    outcomes = [
        [
            r.success
            for r in evaluate(run, recipe.evaluation, arm=arm.name, steerings=[""], device="cpu")
        ]
        for run in trained
    ]
    rate = success_rate(np.array(outcomes))
    policy = trained[0].policy()
    return {
        "success": rate.rate,
        "interval": [rate.low, rate.high],
        "of each seed": [float(np.mean(own)) for own in outcomes],
        "training": f"{arm.training.steps} steps",
        "parameters": sum(p.numel() for p in policy.parameters()),
        "ms of CPU a training step": 1e3 * step,
        "ms of CPU an action": _action_ms(trained[0], own, recipe.controller.replan),
    }


def _action_ms(run: Checkpoint, demos: DemoSet, replan: int) -> float:
    """CPU time of one query, one observation at a time, over the actions executed of a chunk."""
    agent = run.agent()
    raw = {
        "observation.state": demos.state[:1],
        "observation.environment_state": demos.environment_state[:1],
    }
    steering, generator = agent.begin(raw), torch.Generator().manual_seed(0)
    return 1e3 * _median(lambda: agent.predict(raw, steering, generator)) / replan


def _median(call: Callable[[], object], repeats: int = 15) -> float:
    times = []
    for _ in range(repeats):
        before = time.process_time()
        call()
        times.append(time.process_time() - before)
    return float(np.median(times))


def main() -> None:
    """Compare, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--task", default="lift")
    parser.add_argument("--successes", type=int, default=20)
    parser.add_argument("--rollouts", type=int, default=50)
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101])
    given = parser.parse_args()
    torch.set_num_threads(1)
    root = given.out / f"dataset-{given.task}"
    if not root.exists():
        collect = replace(QUICK.collect, environment=given.task, seed=COLLECTED, cameras=())
        record(replace(collect, successes=50, failures=50), root)
    demos = read_dataset(root, Reading(cameras=(), image_size=QUICK.image_size))
    states = InitialStates(Stream.TUNE, STATES)
    recipe = on_task(replace(QUICK, states=states, rollouts=given.rollouts), given.task)
    episodes = demos.episodes(Outcome.SUCCESS)[: given.successes]
    found: dict[str, Any] = {
        "task": given.task,
        "successes": len(episodes),
        "rollouts of each seed": given.rollouts,
        "machine": machine(),
        "commit": version.commit(),
        "arms": {},
    }
    for arm in arms_of(recipe, episodes):
        found["arms"][arm.name] = measure(arm, demos, recipe, given.seeds)
        print(arm.name, found["arms"][arm.name], flush=True)
        text = json.dumps(found, indent=1)
        (given.out / f"flow-{given.task}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
