"""Distances between attention distributions (paper, Eq. 3)."""

from __future__ import annotations

from torch import Tensor

from outtakes.policy.precision import at_least_fp32
from outtakes.shapes import Float


def symmetric_kl(
    p_logits: Float[Tensor, "*rows M"], q_logits: Float[Tensor, "*rows M"]
) -> Float[Tensor, "*rows"]:
    """D_sym(P, Q) = ½ [KL(P‖Q) + KL(Q‖P)] in nats, of the softmaxes of two rows of logits.

    Written as ½ Σ (p − q)(log p − log q), which is never negative and needs each probability
    once. Paper, Eq. 3.
    """
    log_p, log_q = (at_least_fp32(logits).log_softmax(-1) for logits in (p_logits, q_logits))
    return 0.5 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1)


def symmetric_kl_of(
    p_logits: Float[Tensor, "*#rows M"],
    p: Float[Tensor, "*#rows M"],
    q_logits: Float[Tensor, "*#rows M"],
    q: Float[Tensor, "*#rows M"],
) -> Float[Tensor, "*#rows"]:
    """`symmetric_kl` with the softmaxes p and q in hand; leading dimensions broadcast.

    Written as ½ Σ (p − q)(a − b) with a and b the logits. They differ from log-probabilities by
    one constant a row, which Σ (p − q) = 0 takes out: no logarithm is needed.
    """
    return 0.5 * (p - q).mul_(p_logits - q_logits).sum(-1)


def bounded(divergence: Tensor, cap: float) -> Tensor:
    """A divergence d ≥ 0 pressed smoothly under `cap` nats: cap · (1 − exp(−d / cap)).

    Near zero it is d itself; far above the cap its slope vanishes, so that driving two
    distributions apart can never outweigh imitating the actions. The paper leaves −D_sym
    unbounded and keeps its weight small instead.
    """
    return -cap * (-divergence / cap).expm1()
