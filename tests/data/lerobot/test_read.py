"""A dataset is read as it was recorded, by whomever, and from the cache the second time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from outtakes.data import frames
from outtakes.data.demo import Outcome
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.lerobot.write import write_dataset
from outtakes.data.reading import Reading
from outtakes.errors import DatasetError, UnknownName
from tests.data.episodes import LENGTHS, SIZE, frame, recording
from tests.data.same import CODEC_LOSS, assert_frames_match


class Progress:
    """Counts the frames that are decoded."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int) -> None:
        self.calls.append((done, total))


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
