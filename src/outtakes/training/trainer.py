"""The training loop: visible, resumable, the same for every arm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from outtakes import version
from outtakes.data.batches import Batch, DeviceDemos, Sampler
from outtakes.data.demo import DemoSet
from outtakes.data.normalize import Normalizer
from outtakes.errors import CheckpointError, ConfigError, DatasetError, OuttakesError
from outtakes.policy.act import ActConfig, ActPolicy, Observation, Sizes
from outtakes.policy.loss import Loss, LossConfig, compute_loss
from outtakes.policy.retrieval import embed, retrieval_camera
from outtakes.training.checkpoint import FILE, Checkpoint
from outtakes.training.optimizer import RowAdam, build_adamw, schedule

Monitor = Callable[[int, Mapping[str, float]], None]
"""Called with the step and its scalars, every `log_every` steps."""


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast to learn."""

    steps: int = 100_000
    """Optimiser steps; the paper's 10,000 epochs of 100 demonstrations in batches of 10."""
    batch_size: int = 10
    """B, samples a step."""
    learning_rate: float = 1e-5
    """Peak rate of the network, as in ACT."""
    backbone_scale: float = 1.0
    """Rate of the image backbone, as a fraction of `learning_rate`."""
    pb_learning_rate: float = 1e-3
    """Peak rate of the PB table."""
    weight_decay: float = 1e-4
    """AdamW's, on everything but the PB table."""
    warmup: int = 0
    """Steps of linear warm-up."""
    schedule: str = "constant"
    """"constant" or "cosine", after the warm-up."""
    clip: float = 10.0
    """Greatest norm of the gradient."""
    balanced: bool = False
    """Draw successes and failures equally often (a control)."""
    save_every: int = 1_000
    """Steps between checkpoints."""
    log_every: int = 100
    """Steps between logged scalars."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)}", remedy="choose at least 1")
        for name in ("learning_rate", "pb_learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} {getattr(self, name)}", remedy="choose more than 0")
        for name in ("backbone_scale", "weight_decay", "warmup"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} {getattr(self, name)}", remedy="choose at least 0")
        if self.schedule not in ("constant", "cosine"):
            raise ConfigError(f"schedule {self.schedule!r}", remedy="choose constant or cosine")


class DivergedError(OuttakesError):
    """The loss stopped being a number."""

    def __init__(self, run: Path, step: int, episodes: list[int]) -> None:
        self.episodes = episodes
        super().__init__(
            f"the loss is not finite at step {step}, in a batch of episodes {episodes}",
            where=run,
            remedy="look at those episodes, or lower the learning rate",
        )


def train(
    demos: DemoSet,
    run: Path,
    *,
    act: ActConfig,
    loss: LossConfig,
    config: TrainConfig,
    seed: int,
    device: torch.device | str = "cpu",
    monitor: Monitor | None = None,
) -> Checkpoint:
    """Train one policy, or go on where its run folder left off.

    The result depends on the demonstrations, the settings and the seed alone: stopping at any
    moment and calling again ends bitwise where an unbroken run ends (on the CPU).

    Args:
        demos: demonstrations to train on.
        run: folder of this run; its checkpoint is made and kept up to date.
        act: shape of the policy.
        loss: weights of the loss.
        config: length and rates.
        seed: of initial weights, samples, dropout and latent noise.
        device: where to train.
        monitor: told the scalars of every `log_every`-th step.

    Raises:
        CheckpointError: when `run` holds a run of other data, settings or seed.
        DivergedError: when the loss is NaN or infinite, naming the episodes of the batch.
        DatasetError: when a camera is missing.
    """
    device = torch.device(device)
    trainer = _Trainer(demos, run, act, loss, config, seed, device)
    if (run / FILE).exists():
        trainer.restore(Checkpoint.load(run))
    checkpoint = None
    while trainer.step < config.steps:
        batch = trainer.next_batch()
        outcome = trainer.update(batch)
        if monitor and (trainer.step % config.log_every == 0 or trainer.step == config.steps):
            monitor(trainer.step, trainer.scalars(outcome))
        if trainer.step % config.save_every == 0 or trainer.step == config.steps:
            checkpoint = trainer.checkpoint()
            checkpoint.save(run)
    return checkpoint or Checkpoint.load(run)


class _Trainer:
    """State of one run between steps."""

    def __init__(
        self,
        demos: DemoSet,
        run: Path,
        act: ActConfig,
        loss: LossConfig,
        config: TrainConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        _check_cameras(demos, act)
        self.demos, self.run, self.act, self.loss = demos, run, act, loss
        self.config, self.seed, self.device = config, seed, device
        self.sizes = Sizes(
            len(demos),
            demos.state.shape[1],
            demos.environment_state.shape[1],
            demos.action.shape[1],
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.policy = ActPolicy(act, self.sizes).to(device).train()
        self.normalizer = Normalizer.of(demos)
        self.data = DeviceDemos(demos, self.normalizer, act.cameras, device)
        self.sampler = Sampler(
            demos, seed=seed, batch_size=config.batch_size, balanced=config.balanced
        )
        self.adamw = build_adamw(self.policy, config.weight_decay, config.backbone_scale)
        self.rows = RowAdam(self.policy.bias.table) if self.policy.bias is not None else None
        self.network = [
            parameter for group in self.adamw.param_groups for parameter in group["params"]
        ]
        self.generator = torch.Generator(device)
        self.separate = (
            self.policy.bias is not None
            and loss.kl_weight > 0
            and 0 < int(demos.successes.sum()) < len(demos)
        )
        self.step = 0

    def next_batch(self) -> Batch:
        """The batch of the present step."""
        return self.data.batch(self.sampler.draw(self.step), self.act.chunk)

    def update(self, batch: Batch) -> Loss:
        """One optimiser step.

        Raises:
            DivergedError: when the loss or its gradient is NaN or infinite; nothing has moved.
        """
        # Noise is a function of (seed, step), so a resumed run draws what an unbroken one does.
        self.generator.manual_seed(
            int(np.random.SeedSequence([self.seed, 2, self.step]).generate_state(1)[0])
        )
        fraction = schedule(self.step, self.config.steps, self.config.warmup, self.config.schedule)
        for group in self.adamw.param_groups:
            group["lr"] = self.config.learning_rate * fraction * group["scale"]
        outcome = compute_loss(
            self.policy, batch, self.loss, separate=self.separate, generator=self.generator
        )
        outcome.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network, self.config.clip)
        if not torch.isfinite(outcome.total + norm):
            raise DivergedError(self.run, self.step + 1, self.episodes_of(batch))
        self.adamw.step()
        self.adamw.zero_grad()
        if self.rows is not None:
            self.rows.step(self._rows_of(batch), self.config.pb_learning_rate * fraction)
        self.step += 1
        return outcome

    def _rows_of(self, batch: Batch) -> Tensor:
        """(N,) bool: the PB rows this batch used, in either role."""
        used = torch.zeros(self.sizes.demos, dtype=torch.bool, device=self.device)
        used[batch.demo] = True
        if self.separate:
            used[batch.other_demo] = True
        return used

    def episodes_of(self, batch: Batch) -> list[int]:
        """Episode indices of a batch, for messages."""
        return sorted({int(e) for e in self.demos.episode_indices[batch.demo.cpu().numpy()]})

    def scalars(self, outcome: Loss) -> dict[str, float]:
        """What is logged of one step."""
        return {
            "loss/total": float(outcome.total.detach()),
            "loss/action_l1": float(outcome.action.detach()),
            "loss/vae_kl": float(outcome.vae.detach()),
            "divergence/d_sym_nats": float(outcome.divergence.detach()),
            "divergence/active": float(self.separate),
            "learning_rate": self.adamw.param_groups[0]["lr"],
        }

    def settings(self) -> dict[str, object]:
        """What must be equal for a run to go on."""
        return {
            "loss": asdict(self.loss),
            "train": asdict(self.config),
            "retrieval_camera": retrieval_camera(self.policy),
        }

    def checkpoint(self) -> Checkpoint:
        """Everything, at this step."""
        tensors = {
            **_prefixed("policy", self.policy.state_dict()),
            **_prefixed("adamw", self._adamw_tensors()),
            **_prefixed("normalizer", self.normalizer.tensors()),
        }
        if self.rows is not None:
            rows = {"first": self.rows.first, "second": self.rows.second, "steps": self.rows.steps}
            tensors |= _prefixed("rows", rows) | _prefixed("bank", self._bank_tensors())
        return Checkpoint(
            step=self.step,
            seed=self.seed,
            act=self.act,
            sizes=self.sizes,
            dataset=self.demos.name,
            content_hash=self.demos.content_hash,
            episodes=tuple(int(e) for e in self.demos.episode_indices),
            successes=tuple(bool(s) for s in self.demos.successes),
            settings=self.settings(),
            commit=version.commit(),
            tensors={name: tensor.detach().cpu() for name, tensor in tensors.items()},
        )

    def _adamw_tensors(self) -> dict[str, Tensor]:
        names: dict[Tensor, str] = {
            parameter: name for name, parameter in self.policy.named_parameters()
        }
        return {
            f"{names[parameter]}.{moment}": state[moment]
            for parameter, state in self.adamw.state.items()
            for moment in ("step", "exp_avg", "exp_avg_sq")
        }

    def _bank_tensors(self) -> dict[str, Tensor]:
        """First-observation embeddings, PBs and episode indices of the successes (Sec. 3.3)."""
        assert self.policy.bias is not None
        rows = np.flatnonzero(self.demos.successes)
        first = self.demos.starts[rows]
        embeddings = [self._embed_row(int(row)) for row in first]
        device_rows = torch.from_numpy(rows).to(self.device)
        return {
            "embeddings": torch.cat(embeddings) if embeddings else torch.zeros(0, 1),
            "biases": self.policy.bias.rows(device_rows),
            "episodes": torch.from_numpy(self.demos.episode_indices[rows]),
        }

    def _embed_row(self, row: int) -> Tensor:
        camera = retrieval_camera(self.policy)
        images = {}
        if camera:
            frame = np.array(self.demos.images[camera][row : row + 1])
            images[camera] = torch.from_numpy(frame).to(self.device)
        observation = Observation(
            self.data.state[row : row + 1], self.data.environment_state[row : row + 1], images
        )
        return embed(self.policy, observation, camera)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint.

        Raises:
            CheckpointError: when it is of another dataset, seed or setting.
        """
        self._check_same(checkpoint)
        self.policy.load_state_dict(checkpoint.owned("policy"))
        adamw = checkpoint.owned("adamw")
        for name, parameter in self.policy.named_parameters():
            if f"{name}.step" in adamw:
                self.adamw.state[parameter] = {
                    "step": adamw[f"{name}.step"].to(self.device),
                    "exp_avg": adamw[f"{name}.exp_avg"].to(self.device),
                    "exp_avg_sq": adamw[f"{name}.exp_avg_sq"].to(self.device),
                }
        if self.rows is not None:
            rows = checkpoint.owned("rows")
            self.rows.first = rows["first"].to(self.device)
            self.rows.second = rows["second"].to(self.device)
            self.rows.steps = rows["steps"].to(self.device)
        self.step = checkpoint.step

    def _check_same(self, found: Checkpoint) -> None:
        expected = {
            "dataset": self.demos.content_hash,
            "episodes": tuple(int(e) for e in self.demos.episode_indices),
            "outcomes": tuple(bool(s) for s in self.demos.successes),
            "seed": self.seed,
            "policy": {**vars(self.act), "backbone_weights": None},
            **_lasting(self.settings()),
        }
        actual = {
            "dataset": found.content_hash,
            "episodes": found.episodes,
            "outcomes": found.successes,
            "seed": found.seed,
            "policy": vars(found.act),
            **_lasting(found.settings),
        }
        different = [name for name, value in expected.items() if actual.get(name) != value]
        if different:
            raise CheckpointError(
                "this run was trained with another "
                + " and ".join(_IN_WORDS.get(name, name) for name in different),
                where=self.run,
                remedy="give another --out, or remove this run",
            )
        if found.step > self.config.steps:
            raise CheckpointError(
                f"this run has taken {found.step} steps, {self.config.steps} were asked for",
                where=self.run,
                remedy="give another --out, or ask for as many steps",
            )


_IN_WORDS = {
    "train": "length, batch or rate of training",
    "loss": "loss",
    "retrieval_camera": "retrieval camera",
}
"""Settings as people know them; other names speak for themselves."""


def _lasting(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that shape every step.

    Not among them are how often to save and log, and the number of steps unless the learning
    rate was planned to fall to 0 at the last: such a run may be lengthened.
    """
    passing = {"save_every", "log_every"}
    if settings["train"]["schedule"] == "constant":
        passing.add("steps")
    train = {name: value for name, value in settings["train"].items() if name not in passing}
    return {**settings, "train": train}


def _prefixed(owner: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{owner}.{name}": tensor for name, tensor in tensors.items()}


def _check_cameras(demos: DemoSet, act: ActConfig) -> None:
    missing = [camera for camera in act.cameras if camera not in demos.images]
    if missing:
        raise DatasetError(
            f"no camera {missing[0]!r}; the dataset has {sorted(demos.images) or 'none'}",
            where=demos.name,
            remedy="choose cameras the dataset has",
        )
