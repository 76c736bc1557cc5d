"""Action Chunking Transformer with parametric bias.

ACT (Zhao et al. 2023, arXiv 2304.13705) as the paper uses it, with two differences from the
original code: every decoder layer is used and the last one is read, and decoder self-attention
can carry a parametric bias (arXiv 2605.07560, Eq. 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from outtakes.data.batches import Batch
from outtakes.data.observation import Observation, Sizes
from outtakes.errors import ConfigError, UnknownName
from outtakes.policy.act.bias import ParametricBias
from outtakes.policy.act.loss import (
    LossConfig,
    attention_divergence,
    imitation_error,
    prior_divergence,
)
from outtakes.policy.act.retrieval import STEERINGS, Bank, neighbours, retrieval_camera
from outtakes.policy.act.variational import Latent, VariationalEncoder
from outtakes.policy.divergence import bounded
from outtakes.policy.policy import Losses, ParameterGroup, Steering, Successes
from outtakes.policy.transformer.layers import Decoder, DecoderOutput, Encoder
from outtakes.policy.transformer.transformer_policy import (
    Memory,
    TransformerConfig,
    TransformerPolicy,
    initialise,
)
from outtakes.shapes import Bool, Float, Int

Condition = Literal["none", "pb", "label"]
TABLE = "bias.table"
"""Name of the PB table among a policy's parameters."""


@dataclass(frozen=True, kw_only=True)
class ActConfig(TransformerConfig):
    """Settings of ACT. The defaults are the paper's (Sec. 4.1) and ACT's.

    Raises:
        ConfigError: on a shape or rate that cannot work.
        UnknownName: on an unknown condition.
    """

    kind: ClassVar[str] = "act"
    condition: Condition = "pb"
    """What tells demonstrations apart: nothing, a parametric bias, or a one-bit label token."""
    use_vae: bool = True
    """Train with ACT's conditional variational encoder."""
    latent: int = 32
    """Size of the variational latent."""
    pb_size: int = 5
    """P, size of the parametric bias at each step of the chunk."""
    alpha_pb: float = 1.0
    """alpha_pb in Eq. 1, the scale of the bias."""
    loss: LossConfig = field(default_factory=LossConfig)
    """Weights of the loss."""
    pb_learning_rate: float = 1e-3
    """Peak rate of the PB table."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.condition not in ("none", "pb", "label"):
            raise UnknownName("condition", self.condition, ("none", "pb", "label"))
        if self.condition == "pb" and self.decoder_layers < 2:
            raise ConfigError(
                f"parametric bias with {self.decoder_layers} decoder layer: the first layer's "
                "self-attention sees only learned positions, so its attention would be the same "
                "at every observation",
                remedy="use at least 2 decoder layers",
            )
        for name in ("pb_size", "latent"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)}", remedy="choose at least 1")
        if not self.pb_learning_rate > 0:
            raise ConfigError(
                f"pb_learning_rate {self.pb_learning_rate}", remedy="choose more than 0"
            )

    def build(self, sizes: Sizes) -> ActPolicy:
        """A fresh policy; weights are drawn from torch's global generator."""
        return ActPolicy(self, sizes)

    def describe(self) -> dict[str, str]:
        """Its settings in a few words, for people: what -> how."""
        return {
            "Policy": f"ACT, chunk {self.chunk}, width {self.width}, "
            f"{self.decoder_layers} decoder layers",
            "KL term": f"weight {self.loss.kl_weight:g}, bounded at {self.loss.kl_cap:g} nats",
        }

    @property
    def steerings(self) -> tuple[str, ...]:
        """Ways to be steered at run time, the paper's first; and "nearest-<n>"."""
        return STEERINGS if self.condition == "pb" else ("",)

    def check_steering(self, steering: str) -> None:
        """Refuse what is none of `steerings` nor "nearest-<n>"."""
        if self.condition != "pb":
            super().check_steering(steering)
        elif steering not in ("", "zero", "mean-of-all"):
            neighbours(steering)

    @property
    def stackable(self) -> bool:
        """Without cameras, the variational encoder and dropout."""
        return super().stackable and not self.use_vae


class ActPolicy(TransformerPolicy):
    """Observation -> action chunk, under a demonstration's parametric bias.

    Args:
        config: shape of the policy.
        sizes: what the dataset dictates.

    Raises:
        ConfigError: when there is nothing to observe.
    """

    def __init__(self, config: ActConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.config: ActConfig = config
        self.bank: Bank | None = None
        """PBs of the successes, by which it is steered; see `remember`."""
        width, shape = config.width, config.layer_shape
        self.latent = nn.Linear(config.latent, width)
        self._build_vectors()
        self.label = nn.Embedding(2, width) if config.condition == "label" else None
        self._build_eyes(others=1 + (self.label is not None))
        self.variational = (
            VariationalEncoder(sizes, config.chunk, config.latent, config.encoder_layers, *shape)
            if config.use_vae
            else None
        )
        self.encoder = Encoder(config.encoder_layers, *shape)
        self.decoder = Decoder(config.decoder_layers, *shape)
        self.action_positions = nn.Parameter(torch.randn(config.chunk, width))
        self.action = nn.Linear(width, sizes.action)
        self.bias = (
            ParametricBias(
                sizes.demos,
                config.chunk,
                config.pb_size,
                config.decoder_layers,
                width,
                config.alpha_pb,
            )
            if config.condition == "pb"
            else None
        )
        initialise(self.encoder, self.decoder)

    def infer_latent(
        self,
        observation: Observation,
        action: Float[Tensor, "B L A"],
        valid: Bool[Tensor, "B L"],
        generator: torch.Generator | None = None,
    ) -> Latent | None:
        """Posterior of the latent given the true actions; None without the CVAE."""
        if self.variational is None:
            return None
        return self.variational(observation.state, action, valid, generator)

    def encode(
        self,
        observation: Observation,
        *,
        latent: Float[Tensor, "B latent"] | None = None,
        label: Int[Tensor, "B"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Memory:
        """Encode an observation.

        Args:
            observation: what is seen.
            latent: style latent; the prior's mean, zero, when None.
            label: 1 for success, 0 for failure; success when None. Only with the label token.
            generator: source of dropout masks.
        """
        batch, device = len(observation), self.action_positions.device
        # The projection of a latent of zeros is its constant term.
        tokens = [self.latent.bias.expand(batch, -1) if latent is None else self.latent(latent)]
        tokens += self.vectors(observation)
        if self.label is not None:
            successes = torch.ones(batch, dtype=torch.long, device=device)
            tokens.append(self.label(successes if label is None else label))
        return self.encode_tokens(tokens, observation, generator)

    def decode(
        self,
        memory: Memory,
        bias: Float[Tensor, "B L P"] | None = None,
        *,
        generator: torch.Generator | None = None,
        copies: int = 1,
    ) -> DecoderOutput:
        """Decode under a parametric bias; its self-attention logits are the A of Eq. 2."""
        biases = self.bias.project(bias) if self.bias is not None and bias is not None else None
        return self.decoder(
            memory.tokens,
            self.action_positions,
            memory.positions,
            biases,
            generator=generator,
            copies=copies,
        )

    def actions(self, decoded: DecoderOutput) -> Float[Tensor, "B L A"]:
        """Standardised action chunk of a decoder output."""
        # An action's rounding is an error of the action: never below fp32.
        with torch.autocast(decoded.tokens.device.type, enabled=False):
            return self.action(decoded.tokens)

    def forward(
        self, observation: Observation, bias: Float[Tensor, "B L P"] | None = None
    ) -> Float[Tensor, "B L A"]:
        """Action chunk at inference: latent zero, label success, under this bias."""
        return self.actions(self.decode(self.encode(observation), bias))

    def losses(self, batch: Batch, generator: torch.Generator | None = None) -> Losses:
        """Eq. 4: L_ACT − λ_kl · D_sym, with ACT's variational term inside L_ACT."""
        weights, zero = self.config.loss, batch.action.new_zeros(())
        latent = self.infer_latent(batch.observation, batch.action, batch.valid, generator)
        memory = self.encode(
            batch.observation,
            latent=None if latent is None else latent.sample(generator),
            label=batch.success.long(),
            generator=generator,
        )
        separate = self._separates(batch)
        bias = None if self.bias is None else self.bias.rows(self.demonstrations_used(batch))
        copies = 2 if separate else 1
        decoded = self.decode(memory, bias, generator=generator, copies=copies)
        action = imitation_error(self.actions(decoded), batch.action, batch.valid)
        vae = zero if latent is None else prior_divergence(latent)
        total = action + weights.vae_weight * vae
        divergence = zero
        if separate:
            divergences = attention_divergence(decoded.logits)
            total = total - weights.kl_weight * bounded(divergences, weights.kl_cap).mean()
            divergence = divergences.mean()
        parts = {
            "loss/action_l1": action,
            "loss/vae_kl": vae,
            "divergence/d_sym_nats": divergence,
            "divergence/active": zero + separate,
        }
        return Losses(total, parts)

    def _separates(self, batch: Batch) -> bool:
        """Whether the KL term is active: a parametric bias, and both outcomes present."""
        return self.bias is not None and self.config.loss.kl_weight > 0 and batch.paired

    def demonstrations_used(self, batch: Batch) -> Int[Tensor, "*n K"]:
        """Each sample's own PB, and with the KL term then that of one of the other outcome."""
        if self._separates(batch):
            return torch.cat([batch.demo, batch.other_demo], dim=-1)
        return batch.demo

    def groups(self) -> list[ParameterGroup]:
        """The network, the image backbone, and the PB table."""
        network, *backbone = super().groups()
        if self.bias is None:
            return [network, *backbone]
        table = ParameterGroup(
            frozenset({TABLE}), rate=self.config.pb_learning_rate, decays=False, rowwise=True
        )
        return [replace(network, names=network.names - table.names), *backbone, table]

    def memory(self, successes: Successes) -> dict[str, Tensor]:
        """First-observation embeddings, PBs and episode indices of the successes (Sec. 3.3)."""
        if self.bias is None:
            return {}
        seen = [(self.embed(first), first.task) for first in successes.first]
        tasks = [task.argmax(-1) for _, task in seen if task is not None]
        return {
            **({"tasks": torch.cat(tasks)} if tasks else {}),
            "embeddings": torch.cat([own for own, _ in seen]) if seen else torch.zeros(0, 1),
            "biases": self.bias.rows(successes.rows),
            "episodes": successes.episodes,
        }

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Take the PBs of the successes to be steered by.

        Raises:
            CheckpointError: when there is no success among them.
        """
        if memory:
            self.bank = Bank(**memory)

    def begin(self, first: Observation, steering: str = "") -> Steering:
        """Choose each row's PB from its first observation (Sec. 3.3)."""
        if self.bank is None or self.bias is None:
            return super().begin(first, steering)
        if steering == "mean-of-all":
            return Steering(self.bias.mean().expand(len(first), -1, -1), np.full(len(first), -1))
        tasks = None if first.task is None else first.task.argmax(-1)
        wanted = steering or self.config.steerings[0]
        bias, nearest = self.bank.steer(self.embed(first), wanted, tasks)
        return Steering(bias, nearest.cpu().numpy())

    def act(
        self, seen: Observation, steering: Steering, generator: torch.Generator | None = None
    ) -> Float[Tensor, "B L A"]:
        """Action chunk at inference: latent zero, label success, under the steering's PB."""
        return self(seen, steering.condition)

    @torch.no_grad()
    def embed(self, observation: Observation) -> Float[Tensor, "B K"]:
        """Embedding of first observations, by which successes are retrieved.

        Through a camera it is what frozen eyes see of it, or the mean feature of the policy's
        ResNet-18, which started from ImageNet weights where they were given. Without one it is the
        standardised low-dimensional state.
        """
        eyes, camera = self.config.eyes, retrieval_camera(self.config.views)
        if eyes is not None and camera in eyes.cameras:
            if eyes.form == "tokens":
                return observation.maps[camera].mean(dim=(-3, -2))
            return observation.environment_state[..., eyes.of_camera(camera)]
        if camera and self.backbone is not None:
            return self.backbone.embed(observation.images[camera])
        return torch.cat([observation.state, observation.environment_state], dim=-1)
