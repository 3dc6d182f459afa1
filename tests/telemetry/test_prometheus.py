"""What a scrape finds."""

import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mesh.telemetry import prometheus
from mesh.telemetry.prometheus import MeshCollector, Server
from tests.telemetry import recorded


def samples(text: str) -> dict[tuple[str, str, str], float]:
    """By name, peer, and the other label's value."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            others = [value for key, value in sample.labels.items() if key != "peer"]
            found[sample.name, sample.labels["peer"], "".join(others)] = sample.value
    return found


def test_the_past_is_counted_where_that_is_asked(tmp_path: Path) -> None:
    collector = MeshCollector(recorded.folder(tmp_path), from_past=True)
    found = samples(prometheus.text(collector))
    collector.close()
    assert found["mesh_tasks_accepted_total", "peer-3", ""] == 5
    assert found["mesh_tasks_settled_total", "peer-1", "done"] == 1
    assert found["mesh_attempts_ran_total", "peer-3", "review"] == 1
    assert found["mesh_task_seconds_count", "peer-1", ""] == 1
    assert found["mesh_task_seconds_sum", "peer-1", ""] == pytest.approx(0.412, abs=0.001)
    assert found["mesh_task_seconds_bucket", "peer-1", "0.25"] == 0
    assert found["mesh_task_seconds_bucket", "peer-1", "0.5"] == 1
    assert found["mesh_peer_up", "peer-1", ""] == 0


def test_a_server_counts_what_comes(tmp_path: Path) -> None:
    folder = recorded.folder(tmp_path)
    collector = MeshCollector(folder)
    server = Server(collector, "127.0.0.1", 0)
    try:
        assert scraped(server)["mesh_tasks_accepted_total", "peer-1", ""] == 0
        with recorded.events(folder, "peer-1").open("ab") as log:
            log.write((recorded.HERE / "peer-1.jsonl").read_bytes())
        collector.gather()
        assert scraped(server)["mesh_tasks_accepted_total", "peer-1", ""] == 1
    finally:
        server.close()
        collector.close()


def scraped(server: Server) -> dict[tuple[str, str, str], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as answer:
        return samples(answer.read().decode())


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    collector = MeshCollector(recorded.folder(tmp_path))
    server = Server(collector, "127.0.0.1", 0)
    try:
        with pytest.raises(OSError, match="in use"):
            Server(collector, "127.0.0.1", server.port)
    finally:
        server.close()
        collector.close()
