"""`outtakes import` beside the plain loop with which LeRobot's examples port a dataset.

    python -m benchmarks.importing

Both convert the same robomimic file, images included, and write the same features. The loop is
`LeRobotDataset.create`, `add_frame` for every frame, `save_episode`, `finalize`, all with LeRobot's
defaults; it checks nothing, labels nothing and starts from the beginning when it is stopped.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.side_by_side import seconds
from outtakes.importers.convert import import_dataset
from outtakes.importers.open import open_source
from outtakes.importers.options import ImportOptions

_VECTORS = {
    "robot0_joint_pos": 7,
    "robot0_eef_pos": 3,
    "robot0_eef_quat": 4,
    "robot0_gripper_qpos": 2,
    "object": 10,
}
_CAMERAS = ("agentview", "robot0_eye_in_hand")


@dataclass(frozen=True)
class Facts:
    """What is converted."""

    demos: int
    frames: int
    """Of all demonstrations together."""
    cameras: int
    image_size: int
    """Side of an image, pixels."""
    file_size: int
    """Bytes."""
    writer_threads: int
    """Threads with which the loop writes its images; 0 is LeRobot's default."""


Pair = tuple[Callable[[], None], Callable[[], None], Facts]
"""(ours, peer, facts)."""


def pair(
    folder: Path,
    *,
    demos: int = 20,
    length: int = 100,
    image_size: int = 128,
    writer_threads: int = 0,
) -> Pair:
    """The two conversions of one file that is made in `folder`."""
    path = folder / "demos.hdf5"
    write_file(path, demos, length, image_size)

    def ours() -> None:
        root, options = folder / "ours", ImportOptions()
        shutil.rmtree(root, ignore_errors=True)
        import_dataset(open_source(path, options), path, root, options)

    def peer() -> None:
        root = folder / "peer"
        shutil.rmtree(root, ignore_errors=True)
        convert_plainly(path, root, writer_threads)

    size = path.stat().st_size
    facts = Facts(demos, demos * length, len(_CAMERAS), image_size, size, writer_threads)
    return ours, peer, facts


def write_file(path: Path, demos: int, length: int, size: int) -> None:
    """Demonstrations in robomimic's layout: a smooth picture that moves, random numbers."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        settings = {"env_name": "Lift", "env_kwargs": {"control_freq": 20, "robots": ["Panda"]}}
        data.attrs["env_args"] = json.dumps(settings)
        for number in range(demos):
            rng = np.random.default_rng(number)
            demo = data.create_group(f"demo_{number}")
            demo["actions"] = rng.normal(size=(length, 7))
            demo["rewards"] = (np.arange(length) == length - 1) * float(number % 2)
            for key, width in _VECTORS.items():
                demo[f"obs/{key}"] = rng.normal(size=(length, width))
            for camera in _CAMERAS:
                demo[f"obs/{camera}_image"] = _film(rng, length, size)


def _film(rng: np.random.Generator, length: int, size: int) -> np.ndarray:
    """(length, size, size, 3) uint8: a view that wanders over a smooth picture with some noise."""
    from PIL import Image

    coarse = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    wide = Image.fromarray(coarse).resize((size + length, size), Image.Resampling.BICUBIC)
    noisy = np.asarray(wide).astype(int) + rng.integers(-3, 4, (size, size + length, 3))
    picture = np.clip(noisy, 0, 255).astype(np.uint8)
    return np.stack([picture[:, t : t + size] for t in range(length)])


def convert_plainly(path: Path, root: Path, writer_threads: int = 0) -> None:
    """What LeRobot's examples of porting a dataset do, over the same file."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset: Any = None
    with h5py.File(path, "r") as file:
        demos: Any = file["data"]
        for number in range(len(demos)):
            columns = _read_plainly(demos[f"demo_{number}"])
            if dataset is None:
                dataset = LeRobotDataset.create(
                    "local/peer",
                    fps=20,
                    features=_describe_plainly(columns),
                    root=root,
                    robot_type="panda",
                    image_writer_threads=writer_threads,
                )
            for t in range(len(columns["action"])):
                frame = {name: values[t] for name, values in columns.items()}
                dataset.add_frame({**frame, "task": "lift"})
            dataset.save_episode()
    dataset.finalize()


def _read_plainly(demo: Any) -> dict[str, np.ndarray]:
    keys = list(_VECTORS)[:-1]
    rewards = demo["rewards"][:]
    return {
        "observation.state": np.concatenate([demo[f"obs/{k}"][:] for k in keys], 1).astype("f4"),
        "observation.environment_state": demo["obs/object"][:].astype("f4"),
        "action": demo["actions"][:].astype("f4"),
        **{f"observation.images.{c}": demo[f"obs/{c}_image"][:] for c in _CAMERAS},
        "next.success": (rewards >= 1)[:, None],
    }


def _describe_plainly(columns: Mapping[str, np.ndarray]) -> dict[str, Any]:
    kinds = {"u": "video", "f": "float32", "b": "bool"}
    names = {"u": ["height", "width", "channels"]}
    return {
        name: {
            "dtype": kinds[values.dtype.kind],
            "shape": values.shape[1:],
            "names": names.get(values.dtype.kind),
        }
        for name, values in columns.items()
    }


def main() -> None:
    """Time both, in turns, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--demos", type=int, default=20)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--writer-threads", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours, peer, facts = pair(
            Path(folder),
            demos=arguments.demos,
            image_size=arguments.image_size,
            writer_threads=arguments.writer_threads,
        )
        warm = Path(folder, "warm")
        warm.mkdir()
        # Loading LeRobot takes seconds, which neither of the two shall pay.
        for convert in pair(warm, demos=1, length=5)[:2]:
            convert()
        rounds = [(seconds(ours), seconds(peer)) for _ in range(arguments.rounds)]
    ratios = [slow / fast for fast, slow in rounds]
    print(
        json.dumps(
            {
                **asdict(facts),
                "seconds_ours": [round(fast, 2) for fast, _ in rounds],
                "seconds_peer": [round(slow, 2) for _, slow in rounds],
                "times_faster": round(statistics.median(ratios), 2),
            }
        )
    )


if __name__ == "__main__":
    main()
