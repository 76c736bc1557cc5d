"""The policy as LeRobot sees it, beside the core that does the work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lerobot.utils.constants import ACTION, OBS_ENV_STATE, OBS_STATE

from lerobot_policy_outtakes.modeling_outtakes_act import OuttakesActPolicy
from lerobot_policy_outtakes.processor_outtakes_act import make_outtakes_act_pre_post_processors
from lerobot_policy_outtakes.table_rows import Rows
from outtakes.data.batches import DeviceDemos, Samples
from outtakes.data.labels import write_labels
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.lerobot.write import write_dataset
from outtakes.data.normalize import Normalizer
from outtakes.errors import CheckpointError, ConfigError, DatasetError, UnknownName
from tests.data.episodes import recording, without_camera
from tests.data.lerobot.varied import Robot, record
from tests.demos import bias_of, gradient_of
from tests.plugin.policies import CHUNK, make_trainee, metadata, train_batch, trained

IMAGE = "observation.images.overhead"
ROWS, DEMOS, TIMES = [0, 3, 12, 26], [0, 0, 1, 1], [0, 3, 0, 14]
"""Rows of the dataset `pair`: both episodes, and one whose chunk goes beyond the end."""


def test_loss_and_gradients_are_those_of_the_core_on_its_own_batch(pair: Path, tmp_path: Path):
    policy = make_trainee(pair)
    with torch.no_grad():
        bias_of(policy.model).table.normal_()
    policy.rows.see(torch.tensor([0, 1]))
    total, parts = policy(train_batch(policy, pair, ROWS))
    total.backward()
    found = {name: parameter.grad for name, parameter in policy.model.named_parameters()}

    policy.zero_grad()
    demos = read_dataset(pair, cache_dir=tmp_path)
    data = DeviceDemos(demos, Normalizer.of(demos), ("overhead",), torch.device("cpu"))
    samples = Samples(np.array(DEMOS), np.array(TIMES), 1 - np.array(DEMOS))
    losses = policy.model.losses(data.batch(samples, CHUNK))
    losses.total.backward()
    action, divergence = (
        losses.parts[name].item() for name in ("loss/action_l1", "divergence/d_sym_nats")
    )
    assert total.item() == pytest.approx(losses.total.item(), rel=1e-5)
    assert parts["action_l1"] == pytest.approx(action, rel=1e-5)
    assert divergence > 0
    assert parts["d_sym_nats"] == pytest.approx(divergence, rel=1e-4)
    for name, parameter in policy.model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-5)


def test_rows_know_their_episodes_and_how_those_ended(made_datasets: Path):
    policy = make_trainee(made_datasets / "lift")
    assert policy.rows.episodes.tolist() == [0, 1, 2, 3, 4, 5]
    assert policy.rows.successes.tolist() == [True, False] * 3


def test_a_label_file_overrules_the_dataset(lift_dataset: Path):
    write_labels(lift_dataset / "episode_labels.json", {0: False, 1: True}, range(6))
    policy = make_trainee(lift_dataset)
    assert policy.rows.successes.tolist() == [False, True, True, False, True, False]


def test_the_source_of_outcomes_can_be_named(made_datasets: Path):
    with pytest.raises(UnknownName, match="did you mean"):
        make_trainee(made_datasets / "lift", outcome_from="next.succes")


def test_a_dataset_without_outcomes_is_refused_in_one_line(unlabelled: Path):
    with pytest.raises(DatasetError, match=r"--policy\.outcome_from") as refused:
        make_trainee(unlabelled)
    assert "no outcome for episode 0" in str(refused.value) and "\n" not in str(refused.value)
    make_trainee(unlabelled, condition="none")


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    episode = without_camera(recording(0, 12))
    kept = {name: a for name, a in episode.features.items() if name != "next.success"}
    root = tmp_path_factory.mktemp("unlabelled") / "unlabelled"
    return write_dataset(root, [replace(episode, features=kept)], fps=20)


def test_only_the_rows_of_the_batch_and_their_partners_move(made_datasets: Path):
    root = made_datasets / "lift"
    policy = make_trainee(root, OBS_STATE, OBS_ENV_STATE)
    optimizer = policy.config.get_optimizer_preset().build(policy.get_optim_params())
    table = bias_of(policy.model).table
    for rows in ([0, 12], [0, 12], [27, 27]):  # episodes 0 and 1, then 2
        before = table.detach().clone()
        policy(train_batch(policy, root, rows))[0].backward()
        optimizer.step()
        optimizer.zero_grad()
    moved = (table != before).flatten(1).any(dim=1).tolist()
    # The failure of the batches before is the only one there is to set the success apart from.
    assert moved == [False, True, True, False, False, False]


def test_the_kl_term_waits_for_both_outcomes_and_is_off_in_evaluation(pair: Path):
    policy = make_trainee(pair, OBS_STATE)
    with torch.no_grad():
        bias_of(policy.model).table.normal_()
    successes, failures = train_batch(policy, pair, [0, 1]), train_batch(policy, pair, [12])
    assert policy(successes)[1]["d_sym_nats"] == 0
    assert policy(failures)[1]["d_sym_nats"] > 0
    assert policy.eval()(failures)[1]["d_sym_nats"] == 0


def test_partners_are_drawn_evenly_among_the_seen_of_the_other_outcome():
    rows = Rows(6)
    rows.assign(np.arange(6), np.array([True, True, True, False, False, False]))
    rows.see(torch.tensor([0, 1, 3]))
    torch.manual_seed(0)
    own = torch.tensor([3] * 1000 + [0] * 1000)
    drawn = rows.others(own)
    assert drawn is not None
    of_failures, of_successes = drawn.chunk(2)
    counts = torch.bincount(of_failures, minlength=6).tolist()
    assert counts[2:] == [0, 0, 0, 0] and abs(counts[0] - 500) < 80
    assert set(of_successes.tolist()) == {3}


def test_a_policy_without_pb_trains_on_the_same_batches(pair: Path):
    for condition in ("none", "label"):
        policy = make_trainee(pair, OBS_STATE, condition=condition, use_vae=True)
        loss, parts = policy(train_batch(policy, pair, ROWS))
        loss.backward()
        assert parts["vae_kl"] > 0 and parts["d_sym_nats"] == 0
        batch = train_batch(policy, pair, [0, 12])
        assert policy.select_action(batch).shape == (2, 7)


def test_what_is_saved_acts_the_same_without_the_dataset(pair: Path, tmp_path: Path):
    policy = trained(make_trainee(pair), pair)
    batch = train_batch(policy, pair, [0, 5])
    expected = policy.predict_action_chunk(batch)
    policy.save_pretrained(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    loaded = OuttakesActPolicy.from_pretrained(tmp_path)
    assert loaded.config.n_demos == 2 and loaded.config.n_bank == 1
    assert torch.equal(loaded.predict_action_chunk(batch), expected)


def bias_that_steers(policy: OuttakesActPolicy) -> torch.Tensor:
    assert policy.steering is not None and policy.steering.condition is not None
    return policy.steering.condition


def test_each_row_follows_the_success_it_started_like_until_the_next_reset(made_datasets: Path):
    root = made_datasets / "lift"
    starts = [0, 27, 60]  # of the successes: episodes 0, 2 and 4
    policy = trained(make_trainee(root), root, (0, 12, 27, 60))
    assert policy.success_bank().episodes.tolist() == [0, 2, 4]
    first, later = train_batch(policy, root, starts), train_batch(policy, root, [5, 5, 5])
    policy.reset()
    policy.select_action(first)
    table = bias_of(policy.model).table.detach()
    assert torch.equal(bias_that_steers(policy), table[[0, 2, 4]])
    policy.predict_action_chunk(later)
    assert torch.equal(bias_that_steers(policy), table[[0, 2, 4]])
    policy.reset()
    policy.select_action(train_batch(policy, root, [60]))
    assert torch.equal(bias_that_steers(policy), table[[4]])


def test_the_mean_of_all_successes_can_steer(made_datasets: Path):
    root = made_datasets / "lift"
    policy = trained(make_trainee(root, steering="mean"), root, (0, 12, 27, 60))
    policy.predict_action_chunk(train_batch(policy, root, [0]))
    expected = bias_of(policy.model).table.detach()[[0, 2, 4]].mean(0)
    torch.testing.assert_close(bias_that_steers(policy)[0], expected)


def test_demonstrations_that_are_not_trained_on_are_not_retrieved(made_datasets: Path):
    root = made_datasets / "lift"
    policy = trained(make_trainee(root, OBS_STATE), root, (0, 12))
    assert policy.success_bank().episodes.tolist() == [0]


def test_the_bank_follows_the_training(pair: Path):
    policy = trained(make_trainee(pair), pair)
    before = policy.success_bank().embeddings
    with torch.no_grad():
        assert policy.model.backbone is not None
        policy.model.backbone.conv1.weight.mul_(2)
    policy.train()(train_batch(policy, pair, [0]))
    assert not torch.allclose(policy.success_bank().embeddings, before)


def test_a_policy_that_has_seen_no_success_cannot_act(pair: Path):
    policy = make_trainee(pair, OBS_STATE)
    batch = train_batch(policy, pair, [12])
    policy(batch)
    with pytest.raises(CheckpointError, match="no success"):
        policy.select_action(batch)


def test_chunks_are_executed_for_n_action_steps(pair: Path):
    policy = trained(make_trainee(pair, OBS_STATE), pair)
    first, second = train_batch(policy, pair, [0]), train_batch(policy, pair, [7])
    chunk = policy.predict_action_chunk(first)
    actions = [policy.select_action(batch) for batch in (first, second, second, second)]
    torch.testing.assert_close(torch.stack(actions[:3], 1), chunk[:, :3])
    torch.testing.assert_close(actions[3], policy.predict_action_chunk(second)[:, 0])


def test_temporal_ensembling_weighs_as_ours_does(pair: Path):
    changes = {"temporal_ensemble_coeff": 0.5, "n_action_steps": 1}
    policy = trained(make_trainee(pair, OBS_STATE, **changes), pair)
    batches = [train_batch(policy, pair, [row]) for row in (0, 3, 6)]
    chunks = [policy.predict_action_chunk(batch) for batch in batches]
    action = [policy.select_action(batch) for batch in batches][-1]
    weights = torch.exp(-0.5 * torch.arange(3))
    predicted = torch.stack([chunks[0][:, 2], chunks[1][:, 1], chunks[2][:, 0]])
    expected = (weights[:, None, None] * predicted).sum(0) / weights.sum()
    torch.testing.assert_close(action, expected)


def test_a_missing_feature_is_named(pair: Path):
    policy = trained(make_trainee(pair), pair)
    batch = train_batch(policy, pair, [0])
    del batch[IMAGE]
    with pytest.raises(ConfigError, match=IMAGE):
        policy.select_action(batch)


def test_fine_tuning_on_other_demonstrations_keeps_the_network_alone(
    pair: Path, made_datasets: Path, tmp_path: Path
):
    trained(make_trainee(pair, OBS_STATE), pair).save_pretrained(tmp_path)
    same = make_trainee(pair, OBS_STATE, **saved(tmp_path))
    assert bias_of(same.model).table.any() and same.rows.seen.all()
    other = make_trainee(made_datasets / "lift", OBS_STATE, **saved(tmp_path))
    assert bias_of(other.model).table.shape == (6, CHUNK, 5)
    assert not bias_of(other.model).table.any() and not other.rows.seen.any()
    assert torch.equal(other.model.action.weight, same.model.action.weight)


def saved(folder: Path) -> dict[str, object]:
    """What LeRobot takes over from a checkpoint's config."""
    config = OuttakesActPolicy.from_pretrained(folder).config
    found = {name: getattr(config, name) for name in ("n_demos", "n_bank", "demos_hash")}
    return {**found, "pretrained_path": folder}


def test_dimensions_that_hardly_move_are_not_blown_up(pair: Path):
    meta = metadata(pair)
    assert meta.stats is not None
    meta.stats[OBS_STATE]["std"][:] = 0.0
    policy = make_trainee(pair, OBS_STATE)
    batch = train_batch(policy, pair, [0])
    assert batch[OBS_STATE].abs().max() < 10
    OuttakesActPolicy(policy.config, dataset_meta=meta)
    assert float(meta.stats[OBS_STATE]["std"].min()) == pytest.approx(0.01)


@pytest.mark.parametrize(
    "change",
    [
        {"n_action_steps": 6},
        {"temporal_ensemble_coeff": 0.01},
        {"steering": "farthest"},
        {"n_decoder_layers": 1},
        {"scheduler": "linear"},
        {"divergence_cap": 0.0},
        {"n_obs_steps": 2},
    ],
)
def test_settings_that_cannot_work_are_refused(pair: Path, change: dict[str, object]):
    with pytest.raises(ConfigError):
        make_trainee(pair, OBS_STATE, **change)


def test_gradients_reach_the_table_and_the_backbone(pair: Path):
    policy = make_trainee(pair)
    policy(train_batch(policy, pair, ROWS))[0].backward()
    assert gradient_of(bias_of(policy.model).table).any()
    assert policy.model.backbone is not None
    assert gradient_of(policy.model.backbone.conv1.weight).any()
    network, backbone, table = policy.get_optim_params()
    every = [*network["params"], *backbone["params"], *table["params"]]
    assert {id(p) for p in every} == {id(p) for p in policy.parameters()}
    assert len(every) == len({id(p) for p in every})
    assert table["weight_decay"] == 0 and table["lr"] == policy.config.optimizer_lr_pb


def test_actions_come_out_in_the_units_of_the_robot(pair: Path, tmp_path: Path):
    policy = make_trainee(pair, OBS_STATE)
    _, after = make_outtakes_act_pre_post_processors(policy.config, metadata(pair).stats)
    batch = train_batch(policy, pair, [3])
    raw = read_dataset(pair, cache_dir=tmp_path).action[3]
    torch.testing.assert_close(after(batch[ACTION][0, :1])[0], torch.from_numpy(raw))


def test_a_robot_of_one_joint(tmp_path: Path):
    """LeRobot stores a vector of one number as a number, and hands it over so."""
    joint = Robot(state=1, action=1, lengths=(12, 9))
    root = record(tmp_path / "joint", joint)
    policy = make_trainee(root)
    loss, parts = policy(train_batch(policy, root, [0, 5, 12, 20]))
    assert loss.isfinite() and parts["action_l1"] > 0
    policy = trained(policy, root)
    assert policy.success_bank().embeddings.shape == (1, 1)
    seen = {"observation.state": torch.zeros(3, 1)}
    assert policy.predict_action_chunk(seen).shape == (3, CHUNK, 1)
