"""Spans and metrics of real peers, handed over by processes of their own."""

import signal
import socket
import urllib.request
from typing import Any

import psutil
import pytest

from tests.processes.rig import PATIENCE_S, LocalMesh, start_cli, until
from tests.telemetry.collector import Collector

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.slow
def test_spans_of_several_peers_reach_a_collector_in_one_trace(crew: LocalMesh) -> None:
    collector = Collector()
    words = ("spans", "--endpoint", collector.endpoint, "--dir", str(crew.path))
    sending = start_cli(*words, environ={"OTEL_BSP_SCHEDULE_DELAY": "50"})
    try:
        with crew.client() as client:

            def is_there() -> bool:
                # What ends before it looks is not sent.
                client.options(traceparent=f"00-{TRACE}-{SPAN}-01").call("nested", depth=1)
                return any(span.parent_span_id.hex() == SPAN for _, span in collector.spans)

            until(is_there, "a span")
        assert sending.stderr is not None
        assert "Ctrl-C ends it" in sending.stderr.readline()
        sending.send_signal(signal.SIGTERM)
        sending.communicate(timeout=PATIENCE_S)
        assert sending.returncode == 0
    finally:
        sending.kill()
        sending.communicate()
        collector.close()
    assert {span.trace_id.hex() for _, span in collector.spans} == {TRACE}
    spans = {span.span_id: span for _, span in collector.spans}
    root = next(span for span in spans.values() if span.parent_span_id.hex() == SPAN)
    assert root.name == "nested"
    below = _below(root.span_id, list(spans.values()))
    names = sorted(span.name for span in below if span.name != "auction")
    assert names == ["attempt 1", "attempt 1", "nested", "run nested", "run nested"]


def _below(span_id: bytes, spans: list[Any]) -> list[Any]:
    """All spans under one, at any depth."""
    children = [span for span in spans if span.parent_span_id == span_id]
    return children + [each for child in children for each in _below(child.span_id, spans)]


@pytest.mark.slow
def test_up_serves_metrics_beside_its_peers(crew: LocalMesh) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    try:
        up = crew.cli("up", "--metrics", str(port), "--detach")
        assert f"metrics at http://127.0.0.1:{port}/metrics" in up.err
        with crew.client() as client:
            client.call("add", a=1)
        until(lambda: 'mesh_attempts_ran_total{peer="peer-' in scraped(port), "a task counted")
        assert scraped(port).count("mesh_peer_up{") == 3
    finally:
        for process in psutil.process_iter(["cmdline"]):
            if {"metrics", str(crew.path)} <= set(process.info["cmdline"] or ()):
                process.terminate()


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text: str = answer.read().decode()
        return text
