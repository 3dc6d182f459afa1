"""Runs the parts of an experiment in several processes, and hands on what they say in order."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

W = TypeVar("W")
R = TypeVar("R")


def spread(run: Callable[[W], R], work: Sequence[W], jobs: int) -> Iterator[R]:
    """Results in the order of `work`, each as soon as it and those before it are there."""
    if jobs <= 1:
        yield from map(run, work)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(run, work)
