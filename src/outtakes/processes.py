"""Worker processes."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def workers(count, initializer=None):
    """Pool."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=initializer) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
