"""How differently a policy attends to one failure under its own PB and under those of successes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from outtakes.data.demo import Demo
from outtakes.policy.act.act import ActPolicy
from outtakes.policy.agent import Agent
from outtakes.policy.transformer.transformer_policy import Memory
from outtakes.ranking.attention.footprint import Budget, encoding_bytes, held_bytes, memory_tokens
from outtakes.ranking.attention.pairs import Pairs
from outtakes.ranking.attention.scan import AttentionScan, blocks
from outtakes.shapes import Float


class Discrepancy:
    """D_sym between the attention under a failure's PB and under the PBs of successes.

    Args:
        agent: standardises what the policy observes.
        policy: the agent's, which has PB.
        successes: PB of every success.
        budget: bytes to compute in.
    """

    def __init__(
        self, agent: Agent, policy: ActPolicy, successes: Float[Tensor, "S L P"], budget: Budget
    ) -> None:
        self._agent, self._policy = agent, policy
        self._successes, self._budget = successes, budget
        self._scan = AttentionScan(policy, budget.working_set)

    @torch.no_grad()
    def of(self, failure: Demo, own: Float[Tensor, "L P"], pairs: Pairs) -> np.ndarray:
        """(n, m) float64 nats: D_sym of every pair, averaged over layers, heads and query rows."""
        raw = failure.observations(self._agent.cameras)
        drawn = torch.from_numpy(pairs.successes).to(own.device)
        found = []
        for block in blocks(len(pairs.times), self._steps_at_once(raw)):
            others = self._successes[drawn[block] if len(drawn) > 1 else drawn]
            memory = self._encode(raw, pairs.times[block])
            found.append(self._scan.divergences(memory, own, others))
        return torch.cat(found).cpu().double().numpy()

    def _encode(self, raw: Mapping[str, np.ndarray], times: np.ndarray) -> Memory:
        rows = {name: array[times] for name, array in raw.items()}
        return self._policy.encode(self._agent.observation(rows))

    def _steps_at_once(self, raw: Mapping[str, np.ndarray]) -> int:
        policy = self._policy
        sizes = [array.shape[1:3] for array in raw.values() if array.ndim == 4]
        tokens = memory_tokens(policy, sizes)
        pixels = sum(height * width for height, width in sizes)
        step = encoding_bytes(policy.config, tokens, pixels) + held_bytes(policy.config, tokens)
        return self._budget.held // step
