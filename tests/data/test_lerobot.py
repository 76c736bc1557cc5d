from __future__ import annotations

import gc
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from outtakes.data import frames
from outtakes.data.demo import DemoSet, Outcome
from outtakes.data.lerobot.metadata import RECORDINGS, read_metadata
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.lerobot.write import join_datasets, write_dataset
from outtakes.data.reading import Reading
from outtakes.data.recording import Recording
from outtakes.errors import DatasetError, MachineError, UnknownName
from tests.data.episodes import LENGTHS, SIZE, frame, recording

CODEC_LOSS = 6.0
"""Mean absolute error of a decoded frame, of 255; two frames of an episode differ by more than
that wherever the square is."""


class Progress:
    """Counts the frames that are decoded."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int) -> None:
        self.calls.append((done, total))


def lerobot_dataset(root: Path) -> Any:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    return LeRobotDataset("local/test", root=root, video_backend="pyav", return_uint8=True)


def assert_frames_match(demos: DemoSet, camera: str = "overhead") -> None:
    """Every decoded frame is closer to its own original than to any other of all episodes."""
    originals = np.stack([frame(e, t) for e, n in enumerate(LENGTHS) for t in range(n)])
    decoded = demos.images[camera].astype(np.float32)
    assert decoded.shape == originals.shape
    flat = originals.reshape(len(originals), -1).astype(np.float32)
    for row, image in enumerate(decoded):
        distance = np.abs(flat - image.reshape(-1)).mean(axis=1)
        assert int(np.argmin(distance)) == row
        assert distance[row] < CODEC_LOSS


# Round trip


def test_numbers_come_back_bit_for_bit(pristine: Path, recordings: list[Recording]) -> None:
    demos = read_dataset(pristine)
    for feature, array in (
        ("observation.state", demos.state),
        ("observation.environment_state", demos.environment_state),
        ("action", demos.action),
    ):
        written = np.concatenate([r.features[feature] for r in recordings])
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, written)
    assert demos.lengths.tolist() == list(LENGTHS)
    assert demos.fps == 20.0
    assert list(demos.tasks) == ["lift the cube"] * 6


def test_outcomes_come_back(pristine: Path) -> None:
    demos = read_dataset(pristine)
    assert demos.episodes(Outcome.SUCCESS) == [0, 2, 4]
    assert demos.episodes(Outcome.FAILURE) == [1, 3, 5]


def test_every_frame_comes_back_in_its_place(pristine: Path) -> None:
    assert_frames_match(read_dataset(pristine))


def test_metadata_come_back(pristine: Path) -> None:
    assert read_metadata(pristine) == {e: {"seed": e, "strategy": "grasp"} for e in range(6)}


def test_datasets_of_others_have_no_metadata(dataset: Path) -> None:
    (dataset / RECORDINGS).unlink()
    assert read_metadata(dataset) == {}


def test_damaged_metadata_are_refused(dataset: Path) -> None:
    (dataset / RECORDINGS).write_text('{"seed": 1}\n')
    with pytest.raises(DatasetError, match="metadata"):
        read_metadata(dataset)


def test_lerobot_opens_it_and_sees_the_same(pristine: Path) -> None:
    demos, theirs = read_dataset(pristine), lerobot_dataset(pristine)
    assert len(theirs) == len(demos.action)
    assert theirs.meta.robot_type == "panda"
    for row in range(0, len(theirs), 5):
        item = theirs[row]
        ours = demos.images["overhead"][row].transpose(2, 0, 1)
        np.testing.assert_array_equal(item["observation.images.overhead"].numpy(), ours)
        np.testing.assert_array_equal(item["observation.state"].numpy(), demos.state[row])
        np.testing.assert_array_equal(item["action"].numpy(), demos.action[row])
        assert item["task"] == "lift the cube"


def test_names_of_dimensions_are_stored(tmp_path: Path) -> None:
    names = {"action": [f"axis_{i}" for i in range(7)]}
    root = write_dataset(tmp_path / "d", [recording(0, 5)], fps=20, names=names)
    info = json.loads((root / "meta" / "info.json").read_text())
    assert info["features"]["action"]["names"] == names["action"]


def test_one_short_episode_is_a_dataset(tmp_path: Path) -> None:
    demos = read_dataset(write_dataset(tmp_path / "d", [recording(0, 2)], fps=20))
    assert (len(demos), demos.lengths.tolist()) == (1, [2])


def test_a_dataset_without_cameras_is_read(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "d", [recording(e, 5, cameras=()) for e in (0, 1)], fps=20)
    demos = read_dataset(root)
    assert demos.images == {}
    assert demos.state.shape == (10, 14)


# The choice of cameras and size


@pytest.fixture(scope="module")
def by_lerobot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made with LeRobot alone: many small files, a video and an image camera, no state."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    root = tmp_path_factory.mktemp("data") / "others"
    image = {"shape": (SIZE, SIZE, 3), "names": ["height", "width", "channels"]}
    dataset = LeRobotDataset.create(
        "local/others",
        20,
        {
            "observation.images.overhead": {"dtype": "video", **image},
            "observation.images.wrist": {"dtype": "image", **image},
            "observation.image": {"dtype": "image", "shape": (48, 32, 3), "names": image["names"]},
            "action": {"dtype": "float32", "shape": (1,), "names": None},
            "success": {"dtype": "bool", "shape": (1,), "names": None},
        },
        root=root,
        video_backend="pyav",
        streaming_encoding=True,
        encoder_queue_maxsize=0,
        video_files_size_in_mb=0.004,  # pyright: ignore[reportArgumentType]
        data_files_size_in_mb=0.005,  # pyright: ignore[reportArgumentType]
    )
    for episode, length in enumerate(LENGTHS):
        for t in range(length):
            picture = frame(episode, t)
            dataset.add_frame(
                {
                    "observation.images.overhead": picture,
                    "observation.images.wrist": 255 - picture,
                    "observation.image": picture[:48, :32],
                    "action": np.array([100 * episode + t], dtype=np.float32),
                    "success": np.array([episode > 2]),
                    "task": "a" if episode < 2 else "b",
                }
            )
        dataset.save_episode()
    dataset.finalize()
    return root


def test_episodes_are_gathered_from_many_files(by_lerobot: Path) -> None:
    assert len(list(by_lerobot.glob("videos/*/*/*.mp4"))) > 1
    assert len(list(by_lerobot.glob("data/*/*.parquet"))) > 1
    demos = read_dataset(by_lerobot)
    expected = [100.0 * e + t for e, n in enumerate(LENGTHS) for t in range(n)]
    assert demos.action[:, 0].tolist() == expected
    assert demos.successes.tolist() == [False] * 3 + [True] * 3
    assert list(demos.tasks) == ["a"] * 2 + ["b"] * 4
    assert demos.state.shape == (len(expected), 0)
    assert_frames_match(demos)


def test_the_order_of_stored_rows_does_not_matter(by_lerobot: Path, tmp_path: Path) -> None:
    shuffled = Path(shutil.copytree(by_lerobot, tmp_path / "shuffled"))
    for path in shuffled.glob("data/*/*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.take(np.random.default_rng(0).permutation(len(table))), path)
    one, other = read_dataset(by_lerobot), read_dataset(shuffled)
    np.testing.assert_array_equal(one.action, other.action)
    for camera, images in one.images.items():
        np.testing.assert_array_equal(images, other.images[camera])


def test_stored_images_come_back_exactly(by_lerobot: Path) -> None:
    demos = read_dataset(by_lerobot, Reading(cameras=["wrist", "image"]))
    originals = np.stack([frame(e, t) for e, n in enumerate(LENGTHS) for t in range(n)])
    np.testing.assert_array_equal(demos.images["wrist"], 255 - originals)
    np.testing.assert_array_equal(demos.images["image"], originals[:, :48, :32])


def test_only_the_cameras_asked_for_are_read(by_lerobot: Path) -> None:
    assert set(read_dataset(by_lerobot).images) == {"overhead", "wrist", "image"}
    assert set(read_dataset(by_lerobot, Reading(cameras=["wrist"])).images) == {"wrist"}


def test_an_unknown_camera_is_answered_with_the_known(pristine: Path) -> None:
    with pytest.raises(UnknownName, match="'overhed': did you mean 'overhead'"):
        read_dataset(pristine, Reading(cameras=["overhed"]))


def test_images_are_averaged_down_to_squares(by_lerobot: Path) -> None:
    demos = read_dataset(by_lerobot, Reading(cameras=["wrist", "image"], image_size=16))
    assert {images.shape[1:] for images in demos.images.values()} == {(16, 16, 3)}
    original = (255 - frame(0, 0)).reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    assert np.abs(demos.images["wrist"][0] - original).max() <= 1


def test_nothing_observed_is_refused(by_lerobot: Path) -> None:
    with pytest.raises(DatasetError, match="nothing observed"):
        read_dataset(by_lerobot, Reading(cameras=[]))


# The cache


def test_the_second_read_decodes_nothing(pristine: Path) -> None:
    first, second = Progress(), Progress()
    one = read_dataset(pristine, progress=first)
    two = read_dataset(pristine, progress=second)
    assert first.calls[-1] == (sum(LENGTHS), sum(LENGTHS))
    assert second.calls == []
    assert one.content_hash == two.content_hash
    np.testing.assert_array_equal(one.images["overhead"], two.images["overhead"])


def test_copies_share_a_cache_but_keep_their_names(pristine: Path, dataset: Path) -> None:
    read_dataset(pristine)
    progress = Progress()
    assert read_dataset(dataset, progress=progress).name == str(dataset)
    assert progress.calls == []


def test_a_bare_machine_opens_what_a_read_leaves(pristine: Path, cache: Path) -> None:
    demos = read_dataset(pristine)
    (folder,) = cache.iterdir()
    np.testing.assert_array_equal(frames.load_cache(folder).action, demos.action)


def test_reading_needs_no_lerobot(pristine: Path) -> None:
    program = f"""
import sys
for name in ("torch", "lerobot", "datasets", "huggingface_hub", "cv2", "robosuite"):
    sys.modules[name] = None
from outtakes.data.lerobot.read import read_dataset
print(len(read_dataset({str(pristine)!r})))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["6"]


@pytest.fixture
def edited(dataset: Path) -> Iterator[Path]:
    """A dataset read before the test changes it, with its files' times kept."""
    read_dataset(dataset)
    times = {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}
    yield dataset
    for path, time in times.items():
        os.utime(path, ns=(time, time))


def change_action(root: Path, row: int, value: float) -> None:
    (path,) = root.glob("data/*/*.parquet")
    table = pq.read_table(path)
    actions = np.stack(table["action"].to_numpy())
    actions[row, 0] = value
    column = pa.FixedSizeListArray.from_arrays(pa.array(actions.reshape(-1)), 7)
    index = table.schema.get_field_index("action")
    pq.write_table(table.set_column(index, table.schema.field("action"), column), path)


def test_one_changed_number_is_seen(edited: Path) -> None:
    change_action(edited, row=17, value=0.5)
    assert read_dataset(edited).action[17, 0] == np.float32(0.5)


def test_a_replaced_video_is_seen(edited: Path, tmp_path: Path) -> None:
    before = read_dataset(edited).images["overhead"]
    dark = []
    for episode, length in enumerate(LENGTHS):
        original = recording(episode, length)
        name = "observation.images.overhead"
        features = {**original.features, name: 255 - original.features[name]}
        dark.append(replace(original, features=features))
    other = write_dataset(tmp_path / "dark", dark, fps=20)
    (video,) = edited.glob("videos/*/*/*.mp4")
    shutil.copy(other / video.relative_to(edited), video)
    after = read_dataset(edited).images["overhead"]
    assert np.abs(255 - after.astype(float) - before).mean() < CODEC_LOSS


def test_a_new_label_is_seen(edited: Path) -> None:
    (edited / "episode_labels.json").write_text('{"0": "failure"}')
    assert read_dataset(edited).episodes(Outcome.SUCCESS) == [2, 4]


def test_each_request_has_a_cache_of_its_own(pristine: Path, cache: Path) -> None:
    read_dataset(pristine)
    assert read_dataset(pristine, Reading(image_size=32)).images["overhead"].shape[1:] == (
        32,
        32,
        3,
    )
    assert read_dataset(pristine, Reading(cameras=[])).images == {}
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("name", ["overhead.npy", "demos.safetensors", "demos.json"])
@pytest.mark.parametrize("keep", [0, 100])
def test_a_damaged_cache_is_made_again(pristine: Path, cache: Path, name: str, keep: int) -> None:
    read_dataset(pristine)
    (folder,) = cache.iterdir()
    (folder / name).write_bytes((folder / name).read_bytes()[:keep])
    assert_frames_match(read_dataset(pristine))
    assert list(cache.iterdir()) == [folder]


# Writing


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "precious").write_text("mine")
    with pytest.raises(DatasetError, match="something there already"):
        write_dataset(tmp_path / "d", [recording(0, 5)], fps=20)
    assert (tmp_path / "d" / "precious").read_text() == "mine"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    assert len(read_dataset(write_dataset(tmp_path / "d", [recording(0, 5)], fps=20))) == 1


def test_no_recordings_are_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no recordings"):
        write_dataset(tmp_path / "d", [], fps=20)
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Recording]:
        yield recording(0, 5)
        yield recording(1, 5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "d", interrupted(), fps=20)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_episodes(tmp_path: Path) -> None:
    counted: list[int] = []
    write_dataset(
        tmp_path / "d", [recording(e, 4) for e in range(3)], fps=20, progress=counted.append
    )
    assert counted == [1, 2, 3]


def with_feature(name: str, array: np.ndarray) -> Recording:
    original = recording(0, 5)
    return replace(original, features={**original.features, name: array})


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        (with_feature("action", np.zeros((5, 8), np.float32)), "recording 1 has features"),
        (with_feature("extra", np.zeros((5, 8), np.float32)), "recording 1 has features"),
    ],
)
def test_recordings_of_another_shape_are_refused(
    tmp_path: Path, second: Recording, complaint: str
) -> None:
    with pytest.raises(DatasetError, match=complaint):
        write_dataset(tmp_path / "d", [recording(0, 5), second], fps=20)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("first", "complaint"),
    [
        (with_feature("action", np.zeros((5, 7))), "action is float64"),
        (with_feature("action", np.zeros((5, 0), np.float32)), "action is float32 of shape"),
        (with_feature("observation.images.a", np.zeros((5, 24, 64, 3), np.uint8)), "24 x 64 pix"),
        (recording(0, 1), "recording 0 has one frame"),
    ],
)
def test_features_that_lerobot_cannot_store_are_refused(
    tmp_path: Path, first: Recording, complaint: str
) -> None:
    with pytest.raises(DatasetError, match=complaint):
        write_dataset(tmp_path / "d", [first], fps=20)


def test_odd_sizes_are_stored(tmp_path: Path) -> None:
    name = "observation.images.overhead"
    cropped = with_feature(name, recording(0, 5).features[name][:, :37, :45])
    demos = read_dataset(write_dataset(tmp_path / "d", [cropped], fps=20))
    assert np.abs(demos.images["overhead"][0] - frame(0, 0)[:37, :45].astype(int)).mean() < 12


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes, as on a disk that is filling up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [200, 1000, 6000, 30_000])
def test_a_full_disk_is_an_error_in_words(tmp_path: Path, size: int) -> None:
    with pytest.raises(MachineError, match="no space left on the disk"), files_at_most(size):
        write_dataset(tmp_path / "d", [recording(e, 20) for e in range(6)], fps=20)
    gc.collect()
    assert list(tmp_path.iterdir()) == []


# Joining


def test_joined_parts_are_the_dataset_written_at_once(
    pristine: Path, recordings: list[Recording], tmp_path: Path, capfd: pytest.CaptureFixture
):
    parts = [
        write_dataset(tmp_path / f"part-{i}", recordings[start:stop], fps=20)
        for i, (start, stop) in enumerate([(0, 1), (1, 4), (4, 6)])
    ]
    capfd.readouterr()
    joined = join_datasets(parts, tmp_path / "joined")
    assert capfd.readouterr().err == ""
    assert read_metadata(joined) == read_metadata(pristine)
    for ours, theirs in zip(read_dataset(joined), read_dataset(pristine), strict=True):
        assert ours.episode_index == theirs.episode_index and ours.outcome == theirs.outcome
        for name in ("state", "environment_state", "action"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        np.testing.assert_array_equal(ours.images["overhead"], theirs.images["overhead"])
