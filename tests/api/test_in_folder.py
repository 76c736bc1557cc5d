"""Experiments from Python."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from outtakes import api
from outtakes.errors import MachineError


def test_an_experiment_has_its_task_and_a_device_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api.laboratory(tmp_path, recipe="smoke").recipe.collect.environment == "lift"
    stack = api.laboratory(tmp_path, recipe="smoke", task="stack")
    assert stack.recipe.collect.environment == "stack"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert api.laboratory(tmp_path).device == "cpu"
    with pytest.raises(MachineError, match="no CUDA device here"):
        api.laboratory(tmp_path, device="cuda")
