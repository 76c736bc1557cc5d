import json
from pathlib import Path

import pytest

from outtakes.errors import UnknownName
from outtakes.policy import kinds
from outtakes.policy.act.act import ActConfig
from outtakes.policy.act.loss import LossConfig
from tests.policy.toy import Blur, ToyConfig


def there_and_back(config):
    return kinds.from_json(json.loads(json.dumps(kinds.to_json(config))))


def test_act_comes_back_with_its_cameras_and_its_loss():
    config = ActConfig(cameras=("overhead", "wrist"), loss=LossConfig(kl_weight=0.3), width=64)
    assert there_and_back(config) == config


@pytest.mark.usefixtures("toy_installed")
@pytest.mark.parametrize(
    "changes",
    [
        {"blur": Blur(0.5)},
        {"blurs": (Blur(0.1), Blur(0.2))},
        {"maybe": Blur(0.3)},
        {"file": Path("weights.safetensors")},
        {"cameras": ("a",), "chunk": 3},
    ],
)
def test_a_family_from_another_package_comes_back_whatever_its_settings_hold(changes):
    config = ToyConfig(**changes)
    assert there_and_back(config) == config


def test_where_training_started_is_not_kept():
    config = ActConfig(cameras=("overhead",), backbone_weights=Path("imagenet.safetensors"))
    assert "backbone_weights" not in kinds.to_json(config)
    assert there_and_back(config) == ActConfig(cameras=("overhead",))


@pytest.mark.usefixtures("toy_installed")
def test_what_is_installed_is_listed_after_what_is_built_in():
    assert kinds.kinds() == ["act", "flow", "afil", "cfgrl", "toy"]
    assert kinds.config_class("toy") is ToyConfig


def test_an_unknown_kind_is_refused_with_those_there_are():
    with pytest.raises(UnknownName, match=r"unknown policy 'atc': did you mean 'act'"):
        kinds.from_json({"kind": "atc"})


def test_an_unknown_field_and_a_missing_kind_are_told_apart():
    with pytest.raises(TypeError, match="colour"):
        kinds.from_json({"kind": "act", "colour": "red"})
    with pytest.raises(KeyError, match="kind"):
        kinds.from_json({"chunk": 5})
