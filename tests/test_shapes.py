"""Shapes are really checked under pytest, and really optional elsewhere."""

from __future__ import annotations

import jaxtyping
import pytest
import torch

from outtakes.policy.transformer.attention import AttentionBias, attention_logits


def test_fitting_shapes_pass():
    query, key = torch.zeros(2, 3, 5, 4), torch.zeros(2, 3, 7, 4)
    assert attention_logits(query, key).shape == (2, 3, 5, 7)


def test_a_wrong_shape_is_refused_although_torch_would_broadcast():
    query, key = torch.zeros(2, 3, 5, 4), torch.zeros(2, 1, 7, 4)
    with pytest.raises(jaxtyping.TypeCheckError):
        attention_logits(query, key)


def test_a_dataclass_with_mismatched_shapes_is_refused():
    with pytest.raises(jaxtyping.TypeCheckError):
        AttentionBias(query=torch.zeros(2, 5, 4), value=torch.zeros(2, 6, 4))
