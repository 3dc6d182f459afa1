"""Drives the skills of the crew through clients: many streams at once, each task accounted for."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from mesh.demo.face import DemoClient, DemoMesh, Outcome


class Stream(NamedTuple):
    """Tasks of one skill, to be mapped by a thread with a client of its own."""

    name: str
    skill: str
    inputs: Sequence[dict[str, Any]]


class Arrival(NamedTuple):
    """The end of one task of a stream; `place` is that of its input."""

    stream: str
    place: int
    outcome: Outcome


class _Ended(NamedTuple):
    stream: str
    error: Exception | None


class TaskWentWrong(Exception):
    """A task that the audit cannot do without ended without a value."""


def gather(mesh: DemoMesh, streams: Sequence[Stream]) -> Iterator[Arrival]:
    """Runs streams side by side and yields the ends of their tasks as they come.

    Raises:
        Exception: whatever a client raised, once the other streams have ended.
    """
    arrivals: queue.SimpleQueue[Arrival | _Ended] = queue.SimpleQueue()
    threads = [
        threading.Thread(
            target=_drive, args=(mesh.connect, stream, arrivals.put), name=stream.name, daemon=True
        )
        for stream in streams
    ]
    for thread in threads:
        thread.start()
    running, failure = len(threads), None
    while running:
        arrival = arrivals.get()
        if isinstance(arrival, _Ended):
            running -= 1
            failure = failure or arrival.error
        else:
            yield arrival
    if failure is not None:
        raise failure


def _drive(
    connect: Callable[[], DemoClient], stream: Stream, put: Callable[[Arrival | _Ended], None]
) -> None:
    error: Exception | None = None
    try:
        client = connect()
        try:
            for index, outcome in client.map_unordered(stream.skill, stream.inputs):
                put(Arrival(stream.name, index, outcome))
        finally:
            client.close()
    except Exception as raised:  # noqa: BLE001  # raised again by `gather`, in the caller's thread
        error = raised
    put(_Ended(stream.name, error))


def gather_all(mesh: DemoMesh, streams: Sequence[Stream]) -> dict[str, list[Outcome]]:
    """Runs streams side by side; the outcomes by stream, in the order of the inputs.

    Raises:
        TaskWentWrong: a task ended without a value, or did not end.
    """
    ended: dict[str, dict[int, Outcome]] = {stream.name: {} for stream in streams}
    for arrival in gather(mesh, streams):
        if arrival.outcome.state != "done":
            raise TaskWentWrong(
                f"{arrival.stream}: task {arrival.outcome.task} {arrival.outcome.state}: "
                f"{arrival.outcome.error}"
            )
        ended[arrival.stream][arrival.place] = arrival.outcome
    for stream in streams:
        missing = len(stream.inputs) - len(ended[stream.name])
        if missing:
            raise TaskWentWrong(f"{stream.name}: {missing} tasks came to no end")
    return {name: [by_index[i] for i in sorted(by_index)] for name, by_index in ended.items()}
