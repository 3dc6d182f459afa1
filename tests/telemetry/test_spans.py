"""Spans of one trace, made by each peer's half alone, as OpenTelemetry has them."""

from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from mesh.runtime.local_requests import new_traceparent
from mesh.telemetry import reading, spans
from mesh.telemetry.otel import Sender
from mesh.telemetry.reading import Entry
from mesh.telemetry.spans import Span, Spans, span_id
from tests.telemetry import recorded
from tests.telemetry.collector import Collector


def of(folder: Path) -> list[Span]:
    made = Spans()
    return [span for entry in reading.events(folder) for span in made.take(entry)]


def test_one_trace_holds_all_that_three_peers_did(tmp_path: Path) -> None:
    made = of(recorded.folder(tmp_path))
    assert {span.trace for span in made} == {recorded.TRACE}
    assert {span.peer for span in made} == set(recorded.PEERS)
    by_id = {span.span: span for span in made}
    assert len(by_id) == len(made), "no two spans have one id"
    names = sorted(span.name for span in made)
    assert names == sorted(
        ["review", "run review", *["analyse", "run analyse"] * 5, *["attempt 1"] * 6]
        + ["auction"] * 2
    )
    review = by_id[span_id("task", recorded.REVIEW)]
    below = [by_id[span.parent].name for span in made if span.parent in by_id]
    assert len(below) == len(made) - 1, "every span but the first hangs below another"
    assert sorted(set(below)) == ["analyse", "attempt 1", "review"]
    assert review.parent not in by_id
    assert len(review.parent) == 16, "the caller's own span"
    assert all(span.start_us <= span.end_us for span in made)


def test_each_host_may_export_its_own_half(tmp_path: Path) -> None:
    whole = {(span.span, span.parent) for span in of(recorded.folder(tmp_path / "all"))}
    halves = {
        (span.span, span.parent)
        for name in recorded.PEERS
        for span in of(recorded.folder(tmp_path / name, (name,)))
    }
    assert halves == whole


def accepted(trace: str, span: str, **more: str) -> Entry:
    event = {"event": "tasks.accepted", "skill": "s", "trace": trace, "span": span, "count": 1}
    return Entry(1.0, "p", {**event, "tasks": ["a"], **more}, "info")


def settled(state: str, error: str = "") -> Entry:
    rows = [{"task": "a", "state": state, "attempts": 1, "error": error}]
    event = {"event": "tasks.settled", "count": 1, "states": {state: 1}, "tasks": rows}
    return Entry(2.0, "p", event, "info")


def parent_of(first: Entry) -> str:
    made = Spans()
    made.take(first)
    (span,) = made.take(settled("done"))
    return span.parent


def test_a_task_lies_below_its_callers_span_or_its_parents_task() -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    assert parent_of(accepted(trace, "00f067aa0ba902b7")) == "00f067aa0ba902b7"
    assert parent_of(accepted(trace, "00f067aa0ba902b7", parent="m")) == span_id("task", "m")
    made = new_traceparent().split("-")
    assert parent_of(accepted(made[1], made[2])) == "", "a trace that a peer began has no caller"
    assert parent_of(accepted(trace, "")) == ""


@pytest.mark.parametrize("trace", ["", "0" * 32, "not hexadecimal", "AB" * 16])
def test_a_trace_that_is_none_makes_no_span(trace: str) -> None:
    made = Spans()
    made.take(accepted(trace, "00f067aa0ba902b7"))
    assert made.take(settled("done")) == []


def lot_of(task: str, lot: str) -> list[Entry]:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    story = {"skill": "s", "trace": trace, "count": 1, "tasks": [task]}
    cleared = {
        "lot": lot, "skill": "s", "opened_wall_ns": 10**9, "cleared_wall_ns": 2 * 10**9,
        "awarded": 1, "units": 1, "bids": [], "trace": trace,
    }  # fmt: skip
    rows = [{"task": task, "state": "done", "attempts": 1}]
    return [
        Entry(1.0, "p", {"event": "tasks.accepted", **story}, "info"),
        Entry(2.0, "p", {"event": "auction.lot-cleared", **cleared}, "info"),
        Entry(
            2.0, "p",
            {"event": "tasks.attempts-started", **story, "peer": "q", "lot": lot, "attempts": [1]},
            "info",
        ),
        Entry(
            3.0, "p",
            {"event": "tasks.settled", "count": 1, "states": {"done": 1}, "tasks": rows}, "info",
        ),
    ]  # fmt: skip


def test_a_lot_of_many_tasks_is_told_once_while_it_is_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def auctions(*lots: str) -> int:
        made = Spans()
        entries = [each for n, lot in enumerate(lots) for each in lot_of(f"t{n}", lot)]
        return sum(span.name == "auction" for entry in entries for span in made.take(entry))

    assert auctions("a", "a", "b", "a") == 2
    monkeypatch.setattr(spans, "LOTS_TOLD_LIMIT", 1)
    assert auctions("a", "a", "b", "a") == 3


def test_the_sdk_takes_them_with_their_ids_times_and_errors(tmp_path: Path) -> None:
    exporter = InMemorySpanExporter()
    sender = Sender(exporter, "a-mesh")
    made = of(recorded.folder(tmp_path))
    failed = Spans()
    failed.take(accepted("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"))
    made += failed.take(settled("dead", "ValueError"))
    for span in made:
        sender.send(span)
    sender.flush()
    seen = exporter.get_finished_spans()
    sender.close()
    assert len(seen) == len(made)
    for ours, theirs in zip(made, seen, strict=True):
        assert theirs.context is not None
        assert f"{theirs.context.trace_id:032x}" == ours.trace
        assert f"{theirs.context.span_id:016x}" == ours.span
        assert (f"{theirs.parent.span_id:016x}" if theirs.parent else "") == ours.parent
        assert theirs.start_time == ours.start_us * 1000
        assert theirs.resource.attributes["service.instance.id"] == ours.peer
        assert theirs.resource.attributes["service.namespace"] == "a-mesh"
    last = seen[-1]
    assert (last.status.status_code, last.status.description) == (StatusCode.ERROR, "ValueError")


def test_a_collector_takes_them_over_http(tmp_path: Path) -> None:
    collector = Collector()
    try:
        sender = Sender(OTLPSpanExporter(endpoint=collector.endpoint), "a-mesh")
        made = of(recorded.folder(tmp_path))
        for span in made:
            sender.send(span)
        sender.close()
    finally:
        collector.close()
    assert {(peer, span.span_id.hex()) for peer, span in collector.spans} == {
        (span.peer, span.span) for span in made
    }
