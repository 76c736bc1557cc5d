"""Where the scalars of a run go: TensorBoard, and Weights & Biases when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from outtakes.errors import MachineError
from outtakes.training.trainer import Monitor


@contextmanager
def open_monitor(run: Path, *, wandb: bool = False) -> Iterator[Monitor]:
    """A monitor that logs into the run's folder for as long as it is open.

    Args:
        run: folder of the run; TensorBoard reads `run/tensorboard`. Skipped where TensorBoard is
            not installed.
        wandb: also log to Weights & Biases, as the run's two last folder names.

    Raises:
        MachineError: when Weights & Biases is asked for and not installed.
    """
    with ExitStack() as opened:
        sinks = [opened.enter_context(_tensorboard(run))]
        if wandb:
            sinks.append(opened.enter_context(_weights_and_biases(run)))

        def monitor(step: int, scalars: Mapping[str, float]) -> None:
            for sink in sinks:
                sink(step, scalars)

        yield monitor


@contextmanager
def _tensorboard(run: Path) -> Iterator[Monitor]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        yield lambda step, scalars: None
        return
    with ExitStack() as opened:

        @cache
        def writer() -> SummaryWriter:
            # Not before there is something to write: a run may be refused, or done already.
            return opened.enter_context(SummaryWriter(run / "tensorboard"))

        def write(step: int, scalars: Mapping[str, float]) -> None:
            for name, value in scalars.items():
                writer().add_scalar(name, value, step)

        yield write


@contextmanager
def _weights_and_biases(run: Path) -> Iterator[Monitor]:
    try:
        import wandb  # type: ignore[import-not-found]
    except ModuleNotFoundError:
        raise MachineError(
            "Weights & Biases is not installed", remedy="pip install 'outtakes[wandb]'"
        ) from None
    name = "/".join(run.parts[-2:])
    # Several seeds may be open at once, each a run of its own.
    own = {"name": name, "id": name.replace("/", "-"), "resume": "allow", "reinit": "create_new"}
    with wandb.init(project="outtakes", **own) as w:
        yield lambda step, scalars: w.log(dict(scalars), step=step)
