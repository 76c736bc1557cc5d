"""What stays exact when matrix products are computed in a lower precision."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_fp32(x: Tensor) -> Tensor:
    """x itself, or in fp32 when it is of a lower precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
