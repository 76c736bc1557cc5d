"""How long after opening it the review page shows the first frame of a dataset's video.

Run it with `python -m benchmarks.review_page`. It records a small dataset with LeRobot, or takes
one, and repeats its episodes, in the videos too, until there are 500. It then serves that and opens
the page in headless Chromium several times, each time in a browser that has seen nothing before.
The clock starts with the navigation and stops when the last of the cameras has presented a frame
(`requestVideoFrameCallback`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from outtakes.data.lerobot.episode_index import read_layout
from outtakes.data.lerobot.write import write_dataset
from outtakes.data.recording import Recording
from tests.review.many import repeated

CAMERAS = ("overhead", "wrist")
FPS = 20

WATCH = """
(() => {
  const presented = new Map();
  window.firstFrames = presented;
  const look = () => {
    for (const video of document.querySelectorAll("#cameras video:not(.spare)")) {
      if (presented.has(video)) continue;
      presented.set(video, null);
      video.requestVideoFrameCallback((now) => presented.set(video, now));
    }
    requestAnimationFrame(look);
  };
  look();
})();
"""
SHOWN = "cameras => firstFrames.size === cameras && [...firstFrames.values()].every(Boolean)"


def measure_first_frame(dataset: Path, cameras: int, times: int) -> list[float]:
    """Milliseconds from navigation to the first frame of every camera, each in a new browser."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    installed = next(filter(None, map(shutil.which, names)), None)
    taken = []
    with serving(dataset) as address, sync_playwright() as playwright:
        for _ in range(times):
            browser = playwright.chromium.launch(executable_path=installed, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            page.add_init_script(WATCH)
            page.goto(address)
            page.wait_for_function(SHOWN, arg=cameras)
            taken.append(page.evaluate("Math.max(...firstFrames.values())"))
            browser.close()
    return taken


@contextmanager
def serving(dataset: Path) -> Iterator[str]:
    """The address of `outtakes review DATASET`, run in a process of its own."""
    code = "from outtakes.cli import main; main()"
    command = [sys.executable, "-c", code, "review", str(dataset), "--no-browser", "--json"]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"]
        print(f"the command takes {time.monotonic() - started:.2f} s to print the address")
        try:
            yield address
        finally:
            process.terminate()


def record(root: Path, frames: int, size: int) -> Path:
    """A dataset of 20 episodes; its two cameras see a square that crosses a speckled table."""
    rng = np.random.default_rng(0)
    return write_dataset(root, (_recording(e, frames, size, rng) for e in range(20)), fps=FPS)


def _recording(episode: int, frames: int, size: int, rng: np.random.Generator) -> Recording:
    table = rng.integers(90, 200, (size // 8, size // 8, 3), dtype=np.uint8)
    images = np.repeat(table.repeat(8, 0).repeat(8, 1)[None], frames, 0)
    for t in range(frames):
        left = t * (size - 24) // frames
        images[t, size // 2 : size // 2 + 24, left : left + 24] = (200, 40, 40)
    success = np.zeros(frames, dtype=bool)
    success[-1] = episode % 2 == 0
    return Recording(
        {
            **{f"observation.images.{camera}": images for camera in CAMERAS},
            "observation.state": np.zeros((frames, 14), np.float32),
            "action": np.zeros((frames, 7), np.float32),
            "next.success": success,
        },
        task="push the square across the table",
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", type=Path, help="dataset to repeat; recorded when not given")
    parser.add_argument("--episodes", type=int, default=500)
    parser.add_argument("--frames", type=int, default=60, help="of each recorded episode")
    parser.add_argument("--size", type=int, default=128, help="pixels a side of those")
    parser.add_argument("--times", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small = options.small or record(Path(folder) / "small", options.frames, options.size)
        many = repeated(small, Path(folder) / "many", options.episodes)
        videos = sum(file.stat().st_size for file in many.rglob("*.mp4"))
        cameras = len(read_layout(many).cameras)
        print(f"{options.episodes} episodes, {cameras} cameras, {videos / 2**20:.1f} MiB of video")
        taken = measure_first_frame(many, cameras, options.times)
    shown = ", ".join(f"{ms:.0f}" for ms in sorted(taken))
    print(f"first frame after {statistics.median(taken):.0f} ms (median of {shown})")
    print(f"{os.cpu_count()} cores, {os.getloadavg()[0]:.1f} processes running on average")


if __name__ == "__main__":
    main()
