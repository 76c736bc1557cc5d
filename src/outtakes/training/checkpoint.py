"""Checkpoints: one safetensors file holding everything, written atomically, never executed.

Tensors are named by owner (`policy.`, `adamw.`, `rows.`, `normalizer.`, `bank.`); what is not a
tensor is JSON in the file's header. See `docs/formats.md`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from outtakes.data.normalize import Normalizer
from outtakes.data.observation import Sizes
from outtakes.errors import CheckpointError
from outtakes.files import write_atomically
from outtakes.policy.act import ActConfig, ActPolicy
from outtakes.policy.agent import Agent
from outtakes.policy.retrieval import Bank

FILE = "checkpoint.safetensors"
_VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run has learnt and needs to go on, to rank, or to act."""

    step: int
    """Optimiser steps taken."""
    seed: int
    act: ActConfig
    sizes: Sizes
    dataset: str
    """Name of the training data, for messages."""
    content_hash: str
    """Hash of the dataset the episodes were chosen from."""
    episodes: tuple[int, ...]
    """Episode index of every row of the PB table."""
    successes: tuple[bool, ...]
    """Outcome of every row of the PB table."""
    settings: Mapping[str, Any]
    """Loss and training settings, as JSON."""
    commit: str
    """Git commit of the code, or its version."""
    tensors: Mapping[str, Tensor]
    """Name -> tensor, on the CPU."""

    def owned(self, owner: str) -> dict[str, Tensor]:
        """The tensors of one owner, with the owner's prefix taken off."""
        return {
            name.removeprefix(f"{owner}."): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(f"{owner}.")
        }

    def policy(self, device: torch.device | str = "cpu") -> ActPolicy:
        """The policy with its weights."""
        policy = ActPolicy(self.act, self.sizes)
        policy.load_state_dict(self.owned("policy"))
        return policy.to(device)

    def normalizer(self) -> Normalizer:
        """Moments of the training data."""
        return Normalizer.from_tensors(self.owned("normalizer"))

    def bank(self, device: torch.device | str = "cpu") -> Bank | None:
        """PBs of the successes for retrieval; None without PB."""
        tensors = self.owned("bank")
        if not tensors:
            return None
        return Bank(
            tensors["embeddings"].to(device),
            tensors["biases"].to(device),
            tensors["episodes"].to(device),
            str(self.settings["retrieval_camera"]),
        )

    def agent(self, device: torch.device | str = "cpu") -> Agent:
        """Ready to act."""
        return Agent(self.policy(device), self.normalizer(), self.bank(device))

    def save(self, run: Path) -> None:
        """Write `run/checkpoint.safetensors`."""
        meta = {
            "version": _VERSION,
            "step": self.step,
            "seed": self.seed,
            "act": {**vars(self.act), "backbone_weights": None},
            "sizes": vars(self.sizes),
            "dataset": self.dataset,
            "content_hash": self.content_hash,
            "episodes": self.episodes,
            "successes": self.successes,
            "settings": self.settings,
            "commit": self.commit,
        }
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
        header = {"outtakes": json.dumps(meta, sort_keys=True)}
        # Not `save_file`: what it raises on a full disk hides why.
        content = save(tensors, header)
        write_atomically(run / FILE, lambda temporary: temporary.write_bytes(content))

    @staticmethod
    def load(run: Path) -> Checkpoint:
        """Read the checkpoint of a run folder.

        Raises:
            CheckpointError: when there is none, it is damaged, or of another version.
        """
        path = run / FILE if run.is_dir() else run
        try:
            with safe_open(path, framework="pt") as file:
                meta = json.loads((file.metadata() or {}).get("outtakes", "{}"))
                _check_version(meta, path)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return _parse(meta, tensors)
        except FileNotFoundError:
            raise CheckpointError(
                "no checkpoint", where=path, remedy="train first, or give another run folder"
            ) from None
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"cannot read the checkpoint ({error})", where=path, remedy="train again"
            ) from error


def _check_version(meta: Mapping[str, Any], path: Path) -> None:
    found = meta.get("version")
    if found != _VERSION:
        raise CheckpointError(
            f"checkpoint of version {found}, this Outtakes reads {_VERSION}",
            where=path,
            remedy="train again, or use the version of Outtakes that wrote it",
        )


def _parse(meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Checkpoint:
    act = {**meta["act"], "cameras": tuple(meta["act"]["cameras"])}
    return Checkpoint(
        step=int(meta["step"]),
        seed=int(meta["seed"]),
        act=ActConfig(**act),
        sizes=Sizes(**meta["sizes"]),
        dataset=str(meta["dataset"]),
        content_hash=str(meta["content_hash"]),
        episodes=tuple(int(e) for e in meta["episodes"]),
        successes=tuple(bool(s) for s in meta["successes"]),
        settings=meta["settings"],
        commit=str(meta["commit"]),
        tensors=tensors,
    )
