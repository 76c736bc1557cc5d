"""What this machine offers, and what to do about what it lacks.

`inspect_machine` looks; `MachineReport.findings` judges. Printing is the command line's.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from outtakes.data.frames import cache_root
from outtakes.errors import MachineError

EXTRAS = {
    "av": "data",
    "datasets": "data",
    "huggingface_hub": "data",
    "lerobot": "data",
    "metaworld": "metaworld",
    "mujoco": "sim",
    "robosuite": "sim",
    "h5py": "hdf5",
    "glfw": "operator",
    "hid": "operator",
    "pynput": "operator",
    "scipy": "statistics",
    "timm": "eyes",
    "dtaidistance": "rankers",
    "sklearn": "rankers",
    "jinja2": "report",
    "numba": "sim",
    "PIL": "report",
    "pyarrow": "data",
    "rerun": "rerun",
    "starlette": "review",
    "uvicorn": "review",
}
"""Importable package -> the extra of Outtakes that brings it."""

_VERSIONED = ("outtakes", "torch", "numpy", "lerobot", "robosuite", "metaworld", "mujoco")
_SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "swrast", "software rasterizer")
_NEEDED_SPACE = 5 * 2**30  # what a study at paper scale leaves: frames, checkpoints, videos
_PROBE_SECONDS = 60


class Level(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One thing the doctor has to say."""

    level: Level
    subject: str
    """What it is about, for example "renderer"."""
    text: str
    """What was found."""
    remedy: str = ""
    """What to do about it; empty when nothing needs doing."""


@dataclass(frozen=True)
class Processor:
    """The CPU and its memory."""

    model: str
    cores: int
    """Logical cores."""
    memory: int
    """Bytes of RAM."""


@dataclass(frozen=True)
class Gpu:
    """One CUDA device."""

    name: str
    memory: int
    """Bytes of device memory."""


@dataclass(frozen=True)
class RendererProbe:
    """What came of drawing one picture.

    `name` and `version` are OpenGL's GL_RENDERER and GL_VERSION; both are empty when drawing
    failed, and `error` then says why.
    """

    name: str = ""
    version: str = ""
    error: str = ""

    @property
    def software(self) -> bool:
        """Whether the CPU draws: correct, but slow."""
        return any(known in self.name.lower() for known in _SOFTWARE_RENDERERS)


@dataclass(frozen=True)
class DecoderProbe:
    """Which decoder LeRobot takes for videos: torchcodec where it loads, else PyAV."""

    name: str = ""
    """ "torchcodec" or "pyav"; empty when neither is there."""
    trouble: str = ""
    """Why torchcodec, though installed, does not load."""


@dataclass(frozen=True)
class MachineReport:
    """Everything `outtakes doctor` tells."""

    versions: Mapping[str, str | None]
    """Package -> version, None where it is not installed; "python" among them."""
    processor: Processor
    gpus: tuple[Gpu, ...]
    renderer: RendererProbe
    free_space: Mapping[Path, int]
    """Folder -> bytes free on its disk."""
    missing: tuple[str, ...]
    """Optional packages that cannot be imported."""
    decoder: DecoderProbe
    """What LeRobot would decode videos with."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is well, what is slow and what is broken, each with its remedy."""
        return (
            Finding(Level.OK, "versions", ", ".join(_named(self.versions))),
            *_judge_packages(self.missing),
            _judge_devices(self.processor, self.gpus),
            _judge_recipes(self.processor, self.gpus),
            *_judge_decoder(self.decoder),
            _judge_renderer(self.renderer, self.missing),
            *(_judge_space(folder, free) for folder, free in self.free_space.items()),
        )

    @property
    def healthy(self) -> bool:
        """Whether nothing is broken; things may still be slow."""
        return all(finding.level is not Level.FAIL for finding in self.findings)


def inspect_machine(folders: Sequence[Path] | None = None) -> MachineReport:
    """Look at packages, devices, renderer and disks; takes a few seconds.

    Args:
        folders: where to measure free space; the working folder and the frame cache by default.
    """
    if folders is None:
        folders = [Path.cwd(), cache_root()]
    return MachineReport(
        versions={
            "python": platform.python_version(),
            **{package: _version(package) for package in _VERSIONED},
        },
        processor=_inspect_processor(),
        gpus=_inspect_gpus(),
        renderer=probe_renderer(),
        free_space={folder: _free_space(folder) for folder in folders},
        missing=tuple(package for package in EXTRAS if find_spec(package) is None),
        decoder=probe_decoder(),
    )


def _named(versions: Mapping[str, str | None]) -> Iterator[str]:
    return (f"{package} {version}" for package, version in versions.items() if version)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _inspect_processor() -> Processor:
    import psutil

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return Processor(
        model=models[0] if models else platform.processor() or platform.machine(),
        cores=os.cpu_count() or 1,
        memory=psutil.virtual_memory().total,
    )


def _inspect_gpus() -> tuple[Gpu, ...]:
    import torch

    with warnings.catch_warnings():
        # A driver too old for torch is told as a warning; here it counts as no GPU.
        warnings.simplefilter("ignore")
        if torch.backends.mps.is_available():
            return (Gpu("Apple GPU (--device mps)", torch.mps.recommended_max_memory()),)
        if not torch.cuda.is_available():
            return ()
        devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return tuple(Gpu(device.name, device.total_memory) for device in devices)


def _free_space(folder: Path) -> int:
    """Bytes free where `folder` is, or will be once it is made."""
    existing = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    return shutil.disk_usage(existing).free


def probe_renderer() -> RendererProbe:
    """Draw one picture as `outtakes.sim` does, and ask OpenGL who drew it.

    It happens in a process of its own: a broken OpenGL driver may crash the one that calls it.
    """
    try:
        finished = subprocess.run(
            [sys.executable, "-m", "outtakes.doctor"],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return RendererProbe(error=f"no picture within {_PROBE_SECONDS} s")
    if finished.returncode == 0:
        return RendererProbe(**json.loads(finished.stdout.splitlines()[-1]))
    lines = finished.stderr.strip().splitlines()
    return RendererProbe(error=lines[-1] if lines else f"exit status {finished.returncode}")


def probe_decoder() -> DecoderProbe:
    """Load what LeRobot decodes videos with, as it would."""
    pyav = "pyav" if find_spec("av") else ""
    if find_spec("torchcodec") is None:
        return DecoderProbe(pyav)
    try:
        importlib.import_module("torchcodec.decoders")
    except (ImportError, OSError, RuntimeError) as error:
        return DecoderProbe(pyav, str(error).strip().splitlines()[0].partition(". ")[0])
    return DecoderProbe("torchcodec")


def _draw() -> RendererProbe:
    """The other side of `probe_renderer`."""
    import mujoco

    from outtakes.sim.rendering import Renderer

    try:
        renderer = Renderer(mujoco.MjModel.from_xml_string("<mujoco/>"))
    except MachineError as error:
        return RendererProbe(error=error.what)
    from OpenGL import GL  # only now: it binds to the backend that the renderer chose

    name, version = (GL.glGetString(key) or b"" for key in (GL.GL_RENDERER, GL.GL_VERSION))
    renderer.close()
    return RendererProbe(name.decode(), version.decode())


def _judge_packages(missing: Sequence[str]) -> Iterator[Finding]:
    if not missing:
        yield Finding(Level.OK, "packages", "all installed")
    for package in missing:
        remedy = f"pip install 'outtakes[{EXTRAS[package]}]'"
        yield Finding(Level.WARN, "packages", f"{package} is not installed", remedy)


def _judge_devices(processor: Processor, gpus: Sequence[Gpu]) -> Finding:
    if gpus:
        names = ", ".join(f"{gpu.name} ({gpu.memory / 2**30:.0f} GiB)" for gpu in gpus)
        return Finding(Level.OK, "devices", names)
    return Finding(
        Level.WARN,
        "devices",
        f"no CUDA GPU that torch can use; {processor.cores} CPU cores ({processor.model})",
        "train with the recipes that are meant for it, below",
    )


def _judge_recipes(processor: Processor, gpus: Sequence[Gpu]) -> Finding:
    if gpus:
        return Finding(Level.OK, "recipes", "smoke, brisk, quick and paper run here")
    text = f"smoke, brisk and quick run on these {processor.cores} cores; paper would take weeks"
    return Finding(Level.OK, "recipes", text)


def _judge_decoder(decoder: DecoderProbe) -> Iterator[Finding]:
    install = "pip install 'outtakes[data]'"
    if not decoder.name:
        yield Finding(Level.WARN, "videos", "LeRobot has nothing to decode them with", install)
    elif decoder.trouble:
        yield Finding(
            Level.WARN,
            "videos",
            f"LeRobot's decoder torchcodec does not load ({decoder.trouble}); LeRobot takes PyAV",
            "it works, more slowly; torchcodec needs FFmpeg's libraries: apt-get install ffmpeg",
        )
    else:
        yield Finding(Level.OK, "videos", f"LeRobot decodes them with {decoder.name}")


def _judge_renderer(renderer: RendererProbe, missing: Sequence[str]) -> Finding:
    install = "apt-get install libegl1 libgl1-mesa-dri libopengl0"
    if "mujoco" in missing:
        return Finding(
            Level.WARN, "renderer", "not tried without mujoco", "pip install 'outtakes[sim]'"
        )
    if renderer.error:
        return Finding(Level.FAIL, "renderer", renderer.error, install)
    drawn = f"{renderer.name}, OpenGL {renderer.version}"
    if renderer.software:
        return Finding(
            Level.WARN,
            "renderer",
            f"software rendering: {drawn}",
            "expect tens of frames a second; with a GPU, install its OpenGL driver",
        )
    return Finding(Level.OK, "renderer", drawn)


def _judge_space(folder: Path, free: int) -> Finding:
    text = f"{free / 2**30:.1f} GiB free at {folder}"
    if free < _NEEDED_SPACE:
        needed = f"{_NEEDED_SPACE / 2**30:.0f} GiB"
        return Finding(Level.WARN, "disk", text, f"free {needed}, or choose another --out")
    return Finding(Level.OK, "disk", text)


if __name__ == "__main__":
    print(json.dumps(asdict(_draw())))
