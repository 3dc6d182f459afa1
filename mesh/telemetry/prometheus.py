"""Measures as Prometheus has them: needs the extra ``telemetry``.

Counters count from when this began to look, or from the beginning of the logs.
Everything is gathered when somebody asks, and once a second besides, so that no
rotation of a log is missed.
"""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from mesh.local.ask import NoAnswer, QuestionRefused, ask
from mesh.local.discovery import NoMesh, PeerEntry, read_mesh, running_pid
from mesh.telemetry import reading
from mesh.telemetry.measures import BOUNDS_S, Gauge, Measures
from mesh.telemetry.usage import of_tree, processes

GATHER_S = 1.0
ASK_S = 1.0
WORK = (
    ("slots", "mesh_slots", "Jobs that a peer's agents may run at once."),
    ("running", "mesh_jobs_running", "Jobs with a peer's agents."),
    ("waiting", "mesh_jobs_waiting", "Jobs that wait at a peer for a slot."),
    ("open", "mesh_tasks_open", "Tasks that a peer keeps and that have not ended."),
)
COUNTERS = (
    ("accepted", "mesh_tasks_accepted", "Tasks that a peer accepted.", ""),
    ("settled", "mesh_tasks_settled", "Tasks of a peer that came to their end.", "state"),
    ("ran", "mesh_attempts_ran", "Attempts that ended at a peer.", "skill"),
    ("failed", "mesh_attempts_failed", "Attempts of a peer's tasks without result.", "status"),
    ("retried", "mesh_attempts_retried", "Of these, tried again.", ""),
    ("lots", "mesh_lots_cleared", "Auctions that a peer held.", ""),
    ("lots_failed", "mesh_lots_failed", "Auctions in which nobody took anything.", ""),
    ("warnings", "mesh_warnings", "Events that are warnings.", ""),
)


class MeshCollector(Collector):
    """What a scrape finds.

    Args:
        folder: the mesh folder.
        from_past: count what the logs hold already.
    """

    def __init__(self, folder: Path, from_past: bool = False) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._gauge = Gauge()
        self._following = reading.Following(folder, only_events=True)
        if from_past:
            for entry in reading.events(folder):
                self._gauge.take(entry)

    def gather(self) -> None:
        """Reads what peers wrote since the last time."""
        with self._lock:
            for entry in self._following.read():
                self._gauge.take(entry)

    def close(self) -> None:
        """Lets files go."""
        self._following.close()

    def collect(self) -> Iterable[Metric]:
        """All metrics as they are now."""
        self.gather()
        try:
            peers = read_mesh(self._folder).peers
        except NoMesh:
            peers = []
        with self._lock:
            measured = {entry.name: self._gauge.of(entry.name) for entry in peers}
            yield from _counters(measured)
            yield _latencies(measured)
        yield from _states(self._folder, peers)


def _counters(measured: dict[str, Measures]) -> Iterator[Metric]:
    for key, name, text, label in COUNTERS:
        family = CounterMetricFamily(name, text, labels=["peer", label] if label else ["peer"])
        for peer, measures in measured.items():
            value = getattr(measures, key)
            if label:
                for which, count in value.items():
                    family.add_metric([peer, which], count)
            else:
                family.add_metric([peer], value)
        yield family


def _latencies(measured: dict[str, Measures]) -> Metric:
    family = HistogramMetricFamily(
        "mesh_task_seconds", "From a task's acceptance to its end, on disk both.", labels=["peer"]
    )
    for peer, measures in measured.items():
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*BOUNDS_S, float("inf")), measures.classes, strict=True):
            total += count
            buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), total))
        family.add_metric([peer], buckets, measures.seconds)
    return family


def _states(folder: Path, peers: list[PeerEntry]) -> Iterator[Metric]:
    up = GaugeMetricFamily("mesh_peer_up", "Whether a peer answers.", labels=["peer"])
    members = GaugeMetricFamily(
        "mesh_members", "Members as a peer sees them, itself aside.", labels=["peer", "state"]
    )
    memory = GaugeMetricFamily(
        "mesh_memory_bytes", "Resident memory of a peer and its workers.", labels=["peer"]
    )
    cpu = CounterMetricFamily(
        "mesh_cpu_seconds", "Processor time of a peer and its live workers.", labels=["peer"]
    )
    work = {key: GaugeMetricFamily(name, text, labels=["peer"]) for key, name, text in WORK}
    seen = processes()
    for entry in peers:
        pid = running_pid((folder / entry.pid_file).parent)
        status = _status(entry) if pid is not None else {}
        up.add_metric([entry.name], bool(status))
        if pid:
            usage = of_tree(pid, seen)
            memory.add_metric([entry.name], usage.memory)
            cpu.add_metric([entry.name], usage.cpu_s)
        states: dict[str, int] = {}
        for member in status.get("members", ()):
            states[member["state"]] = states.get(member["state"], 0) + 1
        for state, count in states.items():
            members.add_metric([entry.name, state], count)
        for key, value in status.get("work", {}).items():
            if key in work:
                work[key].add_metric([entry.name], value)
    yield from (up, members, memory, cpu, *work.values())


def _status(entry: PeerEntry) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = ask(Path(entry.socket), "status", timeout_s=ASK_S)
    except (NoAnswer, QuestionRefused):
        return {}
    return answer


def text(collector: MeshCollector) -> str:
    """All metrics in Prometheus' text format."""
    served = CollectorRegistry()
    served.register(collector)
    return generate_latest(served).decode()


class Server:
    """Serves a collector's metrics over HTTP, at any path, from a thread of its own.

    Raises:
        OSError: the port is taken, or not allowed.
    """

    def __init__(self, collector: MeshCollector, host: str, port: int) -> None:
        served = CollectorRegistry()
        served.register(collector)
        self._server, self._thread = start_http_server(port, host, served)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
