"""The verbs that hand to other systems what peers wrote: metrics and spans."""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mesh.cli.options import DirOption, JsonOption
from mesh.cli.output import USAGE, fail, print_json, say

POLL_S = 0.2
GATHER_S = 1.0
IDLE_LOOKS = 2
"""So many looks without a running peer, a second apart, are the end of a mesh."""
LOOPBACK = "127.0.0.1"
LOG = "metrics.log"
SERVING_S = 10.0
WithMeshOption = Annotated[
    bool, typer.Option("--with-mesh", help="End once no peer of the folder runs any more.")
]


def metrics(
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Serve them there; 0 picks one.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="The address to serve at.")] = LOOPBACK,
    with_mesh: WithMeshOption = False,
    at: DirOption = None,
) -> None:
    """Metrics of the local peers for Prometheus: printed once, or served on a port."""
    prometheus = _needed("mesh.telemetry.prometheus")
    from mesh.local.discovery import find_folder

    folder = find_folder(at)
    collector = prometheus.MeshCollector(folder, from_past=port is None)
    if port is None:
        sys.stdout.write(prometheus.text(collector))
        return
    try:
        server = prometheus.Server(collector, host, port)
    except OSError as error:
        fail(f"cannot serve metrics at {host}:{port}: {error.strerror}; try another --port", USAGE)
    say(f"metrics of {folder} at http://{host}:{server.port}/metrics, Ctrl-C ends it")
    try:
        _until_ended(folder, with_mesh, GATHER_S, collector.gather)
    finally:
        server.close()
        collector.close()


def spans(
    endpoint: Annotated[
        str,
        typer.Option(
            "--endpoint",
            metavar="URL",
            help="An OTLP collector's, such as http://localhost:4318/v1/traces; else as the "
            "OTEL_EXPORTER_OTLP_… variables say.",
        ),
    ] = "",
    with_mesh: WithMeshOption = False,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send spans of what the local peers do to an OpenTelemetry collector, until Ctrl-C.

    With --json they are printed instead, and nothing is sent.
    """
    from mesh.local.discovery import find_folder, read_mesh
    from mesh.telemetry.reading import Following
    from mesh.telemetry.spans import Spans

    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise typer.BadParameter(
            f"{endpoint!r} is no URL; write http://HOST:4318/v1/traces", param_hint="--endpoint"
        )
    folder = find_folder(at)
    send, close = _printed, _nothing
    if not as_json:
        otel = _needed("mesh.telemetry.otel")
        exporter = _needed("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        sender = otel.Sender(
            exporter.OTLPSpanExporter(endpoint=endpoint or None), read_mesh(folder).name
        )
        send, close = sender.send, sender.close
        say(f"spans of {folder} go to {endpoint or 'the configured collector'}, Ctrl-C ends it")
    following = Following(folder, only_events=True)
    made = Spans()

    def look() -> None:
        for entry in following.read():
            for span in made.take(entry):
                send(span)

    try:
        _until_ended(folder, with_mesh, POLL_S, look)
        # What was read last has waited for others to be read too.
        look()
        look()
    finally:
        following.close()
        close()


def serve_beside(folder: Path, port: int | None) -> None:
    """Serves metrics from a process of its own, which ends with the mesh; None serves none.

    It is told, and nothing else happens, where that does not work: peers need none of it.
    """
    import socket
    import subprocess

    if port is None:
        return
    log = folder / LOG
    words = ["metrics", "--port", str(port), "--with-mesh", "--dir", str(folder)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mesh.cli", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    ends = time.monotonic() + SERVING_S
    while process.poll() is None and time.monotonic() < ends:
        try:
            socket.create_connection((LOOPBACK, port), POLL_S).close()
        except OSError:
            time.sleep(POLL_S / 4)
            continue
        say(f"metrics at http://{LOOPBACK}:{port}/metrics")
        return
    told = log.read_text(encoding="utf-8", errors="replace").strip().removeprefix("mesh: ")
    say(f"metrics are not served: {told or f'not within {SERVING_S:g} s, see {log}'}")


def _printed(span: Any) -> None:
    import msgspec

    print_json(msgspec.to_builtins(span))


def _nothing() -> None:
    """There is nothing to close."""


def _until_ended(folder: Path, with_mesh: bool, every_s: float, look: Callable[[], None]) -> None:
    """Looks again and again, until Ctrl-C, SIGTERM, or the mesh's end where that is wanted."""
    from mesh.local.discovery import is_running

    def end(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    idle, checked = 0, time.monotonic()
    try:
        while not with_mesh or idle < IDLE_LOOKS:
            look()
            time.sleep(every_s)
            if time.monotonic() - checked >= 1:
                checked = time.monotonic()
                idle = 0 if is_running(folder) else idle + 1
    except KeyboardInterrupt:
        # Asked to end, it has done what it was there for.
        return


def _needed(name: str) -> Any:
    """A module that only the extra brings."""
    from importlib import import_module

    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        fail(
            f"this needs the extra `telemetry` ({error.name} is missing): "
            "pip install 'stigmesh[telemetry]'",
            USAGE,
        )
