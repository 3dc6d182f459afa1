"""Spans to OpenTelemetry: needs the extra ``telemetry``."""

from collections.abc import Callable

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from mesh.telemetry.spans import Span

SERVICE = "stigmesh"
QUEUE_LIMIT = 8192
"""Spans that wait to be sent; while a collector is away the newest are dropped."""
NANOS = 1000
KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT, "server": SpanKind.SERVER}


class Sender:
    """Hands spans to an exporter, in batches, from a thread of the SDK's own.

    Args:
        exporter: of the SDK: OTLP, in memory, or the user's own.
        mesh: the mesh's name.
    """

    def __init__(self, exporter: SpanExporter, mesh: str) -> None:
        self._mesh = mesh
        self._processor = BatchSpanProcessor(exporter, max_queue_size=QUEUE_LIMIT)
        self._resources: dict[str, Resource] = {}
        self._scope = InstrumentationScope(SERVICE)

    def send(self, span: Span) -> None:
        """Takes a span; never waits."""
        self._processor.on_end(self._readable(span))

    def flush(self) -> None:
        """Sends what waits, for as long as the SDK's time limit lets it."""
        self._processor.force_flush()

    def close(self) -> None:
        """Sends what waits, and ends the thread."""
        shutdown: Callable[[], None] = self._processor.shutdown
        shutdown()

    def _readable(self, span: Span) -> ReadableSpan:
        status = Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.OK)
        return ReadableSpan(
            span.name,
            context=_context(span.trace, span.span, False),
            parent=_context(span.trace, span.parent, True) if span.parent else None,
            resource=self._resource(span.peer),
            attributes=span.attributes,
            kind=KINDS[span.kind],
            status=status,
            start_time=span.start_us * NANOS,
            end_time=span.end_us * NANOS,
            instrumentation_scope=self._scope,
        )

    def _resource(self, peer: str) -> Resource:
        if peer not in self._resources:
            self._resources[peer] = Resource(
                {
                    "service.name": SERVICE,
                    "service.namespace": self._mesh,
                    "service.instance.id": peer,
                }
            )
        return self._resources[peer]


def _context(trace: str, span: str, is_remote: bool) -> SpanContext:
    sampled = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(trace, 16), int(span, 16), is_remote, sampled)
