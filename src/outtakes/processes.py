"""Worker processes that never start the caller's script over again.

Python's own pools import the caller's main module in every worker, so that a script without
`if __name__ == "__main__":` would start itself anew in each. loky's workers do not.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from itertools import islice
from multiprocessing import resource_tracker

from outtakes.errors import MachineError

_ENVIRONMENT = {"LOKY_MAX_MEMORY_LEAK_SIZE": "1e18"}
"""loky takes growth by 300 MB for a leak and starts a worker anew; ours load torch and datasets."""
_SECONDS_OF_ORPHANHOOD = 0.5
"""How often a worker looks whether its parent is alive."""


@contextmanager
def workers(count: int, *, initializer: Callable[[], object] | None = None) -> Iterator[Executor]:
    """A pool of worker processes.

    Leaving the block waits for what was submitted. Leaving it by an exception, Ctrl-C among them,
    kills the workers at once, and none outlives this process, however that ends.

    Args:
        count: how many.
        initializer: called once in every worker before all else; a function of a module.

    Raises:
        MachineError: when a worker was killed, unless the block catches what its future raises.
    """
    # Takes a while, and a job of one process does without.
    from loky import ProcessPoolExecutor
    from loky.process_executor import TerminatedWorkerError

    pool = ProcessPoolExecutor(
        count, initializer=_prepare, initargs=(os.getpid(), initializer), env=_ENVIRONMENT
    )
    try:
        with _interrupts_held_back():
            pool.submit(os.getpid)  # the first call starts them all
        yield pool
        pool.shutdown()
    except TerminatedWorkerError as error:
        raise MachineError(
            "a worker process was killed",
            remedy="free memory, which it most often lacks, or use fewer workers",
        ) from error
    finally:
        pool.shutdown(kill_workers=True)


def apply_ahead[T](
    pool: Executor, function: Callable[..., T], calls: Iterable[tuple], *, ahead: int
) -> Generator[T, None, None]:
    """Results of many calls, in the order of the calls.

    Args:
        pool: who works.
        function: called with each of the calls.
        calls: arguments; may be endless.
        ahead: calls that are submitted before their results are asked for, at most: results may
            be large.
    """
    calls = iter(calls)
    under_way = deque(pool.submit(function, *call) for call in islice(calls, ahead))
    try:
        while under_way:
            yield under_way.popleft().result()
            under_way.extend(pool.submit(function, *call) for call in islice(calls, 1))
    finally:
        for future in under_way:
            future.cancel()


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """What is started here never hears of Ctrl-C, which a terminal sends to all its processes: what
    becomes of workers is their parent's to say."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # Once it runs: on its start it would let them through.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare(parent: int, initializer: Callable[[], object] | None) -> None:
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    if initializer is not None:
        initializer()


def _follow(parent: int) -> None:
    """End this process once its parent has: a parent that is killed tells nobody."""
    while os.getppid() == parent:
        time.sleep(_SECONDS_OF_ORPHANHOOD)
    os._exit(1)
