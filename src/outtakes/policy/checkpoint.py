"""Checkpoints: one safetensors file holding everything, written atomically, never executed.

Tensors are named by owner (`policy.`, `ema.`, `adamw.`, `rows.`, `normalizer.`, `eyes.`,
`memory.`); what is not a tensor is JSON in the file's header, the policy's settings tagged by kind.
See `docs/formats.md`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from outtakes.data.demo import DemoSet, Outcome
from outtakes.data.normalize import Normalizer
from outtakes.data.observation import Sizes
from outtakes.errors import CheckpointError, ConfigError, UnknownName
from outtakes.files import Location, write_atomically
from outtakes.policy import kinds
from outtakes.policy.agent import Agent
from outtakes.policy.eyes.sight import Sight
from outtakes.policy.policy import Policy, PolicyConfig

FILE = "checkpoint.safetensors"
_VERSION = 2
_DAMAGE = (
    SafetensorError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    ConfigError,
)
"""What reading raises when a file is not what it should be."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run has learnt and needs to go on, to rank, or to act."""

    step: int
    """Optimiser steps taken."""
    seed: int
    config: PolicyConfig
    """Settings of the policy."""
    sizes: Sizes
    dataset: str
    """Name of the training data, for messages."""
    content_hash: str
    """Hash of the dataset the episodes were chosen from."""
    choices: Mapping[str, Any]
    """The choices in reading it, `DemoSet.choices`."""
    episodes: tuple[int, ...]
    """Episode index of every demonstration trained on, in the order of the policy's rows."""
    successes: tuple[bool, ...]
    """Whether each of them succeeded."""
    training: Mapping[str, Any]
    """Settings of training, as JSON."""
    commit: str
    """Git commit of the code, or its version."""
    tensors: Mapping[str, Tensor]
    """Name -> tensor, on the CPU."""
    tasks: tuple[str, ...] = ()
    """The tasks that it was told apart; empty when there was one."""

    def owned(self, owner: str) -> dict[str, Tensor]:
        """The tensors of one owner, with the owner's prefix taken off."""
        return {
            name.removeprefix(f"{owner}."): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(f"{owner}.")
        }

    def weights(self) -> dict[str, Tensor]:
        """The state of the policy that acts: of averaged weights where training kept them."""
        averages = self.owned("ema")
        averages.pop("steps", None)
        return {**self.owned("policy"), **averages}

    def policy(self, device: torch.device | str = "cpu") -> Policy:
        """The policy with its weights."""
        policy = self.config.build(self.sizes)
        policy.load_state_dict(self.weights())
        return policy.to(device)

    def differences(self, demos: DemoSet) -> list[str]:
        """How the dataset it was trained on was read otherwise than these demonstrations, in
        words: choices, and outcomes of its episodes."""
        names = {*self.choices, *demos.choices}
        found = [
            f"{name} {self.choices.get(name)} then, {demos.choices.get(name)} now"
            for name in sorted(names)
            if self.choices.get(name) != demos.choices.get(name)
        ]
        now = dict(zip(demos.episode_indices.tolist(), demos.successes.tolist(), strict=True))
        then = zip(self.episodes, self.successes, strict=True)
        changed = [(e, success) for e, success in then if now.get(e, success) != success]
        if changed:
            episode, success = changed[0]
            found.append(f"episode {episode} a {Outcome.of(success)} then, not now")
        return found

    def of_demonstrations(self, episodes: Collection[int]) -> Checkpoint:
        """What it learnt of some of its demonstrations: their rows of every table that has one for
        each, and the successes among them to be steered by. It cannot go on training.

        Args:
            episodes: episode indices; those that it was not trained on are left out.
        """
        places = [i for i, episode in enumerate(self.episodes) if episode in episodes]
        groups = self.config.build(self.sizes).groups()
        rowwise = {name for group in groups if group.rowwise for name in group.names}
        tables = {f"{owner}.{name}" for owner in ("policy", "ema") for name in rowwise}
        remembered = self.tensors.get("memory.episodes")
        kept = None
        if remembered is not None:
            kept = [i for i, episode in enumerate(remembered.tolist()) if episode in episodes]
        return replace(
            self,
            sizes=replace(self.sizes, demos=len(places)),
            episodes=tuple(self.episodes[i] for i in places),
            successes=tuple(self.successes[i] for i in places),
            tensors={
                name: tensor[places]
                if name in tables
                else tensor[kept]
                if kept is not None and name.startswith("memory.")
                else tensor
                for name, tensor in self.tensors.items()
            },
        )

    def normalizer(self) -> Normalizer:
        """Moments of the training data."""
        return Normalizer.from_tensors(self.owned("normalizer"))

    def agent(self, device: torch.device | str = "cpu") -> Agent:
        """The agent, ready to act.

        Raises:
            CheckpointError: when nothing was learnt that could steer the policy.
        """
        policy = self.policy(device)
        policy.remember({name: t.to(device) for name, t in self.owned("memory").items()})
        return Agent(policy, self.normalizer(), self.sight(), self.tasks)

    def sight(self) -> Sight | None:
        """Its frozen eyes, fitted to the training data; None when it has none.

        Raises:
            CheckpointError: when their projection is missing.
        """
        eyes = self.config.eyes
        return None if eyes is None else Sight.from_tensors(eyes, self.owned("eyes"))

    def save(self, run: Location) -> None:
        """Write `run/checkpoint.safetensors`."""
        meta = {
            "version": _VERSION,
            "step": self.step,
            "seed": self.seed,
            "policy": kinds.to_json(self.config),
            "sizes": vars(self.sizes),
            "dataset": self.dataset,
            "content_hash": self.content_hash,
            "choices": dict(self.choices),
            "episodes": self.episodes,
            "successes": self.successes,
            "training": self.training,
            "commit": self.commit,
            **({"tasks": self.tasks} if self.tasks else {}),
        }
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
        header = {"outtakes": json.dumps(meta, sort_keys=True)}
        # Not `save_file`: what it raises on a full disk hides why.
        content = save(tensors, header)
        write_atomically(Path(run) / FILE, lambda temporary: temporary.write_bytes(content))

    @staticmethod
    def load(run: Location) -> Checkpoint:
        """Read the checkpoint of a run folder.

        Raises:
            CheckpointError: when there is none, it is damaged, or of another version.
        """
        path = Path(run) / FILE if Path(run).is_dir() else Path(run)
        try:
            with safe_open(path, framework="pt") as file:
                meta = json.loads((file.metadata() or {}).get("outtakes", "{}"))
                _check_version(meta, path)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if meta["version"] == 1:
                meta, tensors = _updated(meta), _renamed(tensors)
            return _parse(meta, tensors)
        except FileNotFoundError:
            raise CheckpointError(
                "no checkpoint", where=path, remedy="train first, or give another run folder"
            ) from None
        except UnknownName as error:
            raise CheckpointError(
                f"a policy that is not installed ({error})",
                where=path,
                remedy="install the package it is from",
            ) from error
        except _DAMAGE as error:
            raise CheckpointError(
                f"cannot read the checkpoint ({error})", where=path, remedy="train again"
            ) from error


def _check_version(meta: object, path: Path) -> None:
    found = meta.get("version") if isinstance(meta, dict) else None
    if found not in (1, _VERSION):
        raise CheckpointError(
            f"checkpoint of version {found}, this Outtakes reads {_VERSION}",
            where=path,
            remedy="train again, or use the version of Outtakes that wrote it",
        )


def _parse(meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Checkpoint:
    return Checkpoint(
        step=int(meta["step"]),
        seed=int(meta["seed"]),
        config=kinds.from_json(meta["policy"]),
        sizes=Sizes(**meta["sizes"]),
        dataset=str(meta["dataset"]),
        content_hash=str(meta["content_hash"]),
        choices=meta.get("choices", {}),
        episodes=tuple(int(e) for e in meta["episodes"]),
        successes=tuple(bool(s) for s in meta["successes"]),
        training=meta["training"],
        commit=str(meta["commit"]),
        tensors=tensors,
        tasks=tuple(str(task) for task in meta.get("tasks", ())),
    )


# --- version 1, which knew ACT alone --------------------------------------------------------------


def _updated(meta: Mapping[str, Any]) -> dict[str, Any]:
    """A header of version 1 as this version has it."""
    training = dict(meta["settings"]["train"])
    act = {name: value for name, value in meta["act"].items() if name != "backbone_weights"}
    of_policy = {name: training.pop(name) for name in ("pb_learning_rate", "backbone_scale")}
    policy = {"kind": "act", **act, **of_policy, "loss": meta["settings"]["loss"]}
    return {**meta, "version": _VERSION, "policy": policy, "training": training}


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of version 1 by their names in this one."""
    owners = {"rows.": "rows.bias.table.", "bank.": "memory."}
    return {
        next((n + name.removeprefix(o) for o, n in owners.items() if name.startswith(o)), name): t
        for name, t in tensors.items()
    }
