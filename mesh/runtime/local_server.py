"""The peer's side of the local protocol: a Unix socket for clients and workers.

Translates requests into commands of the core, and the core's events into
answers for the connections concerned. Nothing that a client sends can harm the
peer: bad bytes and slow readers are disconnected, refusals are answered.
"""

import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec
import structlog
import trio

from mesh.local.codec import ProtocolError, encode_value
from mesh.local.json_lines import LineReader, Reader, by_first_byte
from mesh.local.messages import (
    PROTOCOL,
    Answer,
    Ask,
    Attach,
    Cancel,
    EventSeen,
    Hello,
    LocalMessage,
    Ping,
    Pong,
    Refused,
    Submit,
    Watch,
    Welcome,
)
from mesh.runtime.event_log import ANSWERS, pieces, public
from mesh.runtime.local_connection import (
    OUTGOING_LIMIT,
    Flusher,
    InsideLink,
    Link,
    LocalConnection,
)
from mesh.runtime.local_requests import Driver, TaskDesk
from mesh.runtime.local_socket import CONNECTIONS_LIMIT, listen, turn_away
from protocols.errors import Refused as RefusedCommand
from protocols.machine import MILLISECOND_NS
from protocols.tasks.events import TaskView

TASKS_LISTED_LIMIT = 10_000

Answerer = Callable[[Any], Any | Awaitable[Any]]
"""Answers a verb: takes the decoded arguments, gives a plain value. May raise `Refused`."""


class Workers(Protocol):
    """Who takes what workers say."""

    def connect_inside(self, send: Callable[[InsideLink, LocalMessage], None]) -> None:
        """Takes how handlers inside this process submit tasks."""

    def joined(self, link: LocalConnection) -> None:
        """A worker said hello; `link.pid` tells which process it is."""

    def received(self, link: LocalConnection, message: LocalMessage) -> None:
        """A message that only workers send."""

    def left(self, link: LocalConnection) -> None:
        """A worker's connection is closed."""


class _TasksWanted(msgspec.Struct):
    """The arguments of the verb ``tasks``."""

    states: tuple[str, ...] = ()
    limit: Annotated[int, msgspec.Meta(ge=1, le=TASKS_LISTED_LIMIT)] = 100


class _Redrive(msgspec.Struct):
    """The arguments of the verb ``redrive``: all dead letters, of a skill or these."""

    tasks: tuple[str, ...] = ()
    skill: str = ""
    all: bool = False


class LocalServer:
    """Serves one local socket.

    Args:
        driver: takes the commands; its events come back through `notify`.
        workers: takes what workers say.
        welcome: what a new connection is told.
        answers: a function per verb of `Ask`.
        lookups: a function per verb of `Ask` that is about one task, on its view.
        find_peer: a peer's id from its name or text id; None where nobody is known by it.
        name_of: a peer's name from its id.
        outgoing_limit: unsent bytes at which a connection is closed.
    """

    def __init__(
        self,
        driver: Driver,
        workers: Workers,
        *,
        welcome: Welcome,
        answers: Mapping[str, Answerer],
        lookups: Mapping[str, Callable[[TaskView], Any]],
        find_peer: Callable[[str], bytes | None],
        name_of: Callable[[bytes], str],
        outgoing_limit: int = OUTGOING_LIMIT,
    ) -> None:
        self._driver = driver
        self._workers = workers
        self._welcome = welcome
        self._answers = answers
        self._lookups = lookups
        self._outgoing_limit = outgoing_limit
        self._desk = TaskDesk(driver, find_peer, name_of)
        self._flusher = Flusher()
        self._connections: dict[LocalConnection, None] = {}
        self._watchers: list[tuple[LocalConnection, int, str]] = []
        self._log = structlog.get_logger("mesh.local")
        self._nursery: trio.Nursery | None = None
        workers.connect_inside(self.receive_inside)

    @property
    def connection_count(self) -> int:
        """How many clients and workers are connected."""
        return len(self._connections)

    async def serve(
        self, path: Path, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Listens at `path` until cancelled; `task_status` reports that it does.

        Raises:
            ConfigurationError: the path is too long, or another process listens there.
        """
        listener = listen(path)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._flusher.run)
                task_status.started()
                while True:
                    await trio.lowlevel.wait_readable(listener)
                    self._accept(listener, nursery)
        finally:
            for connection in list(self._connections):
                connection.flush()
                connection.close()
            listener.close()
            # It is gone already where somebody cleaned up the runtime folder.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def notify(self, event: msgspec.Struct) -> None:
        """Takes an event of the core."""
        self._desk.notify(event)
        if self._watchers and type(event) not in ANSWERS:
            for piece in pieces(event):
                self._show(public(piece))

    def receive_inside(self, link: InsideLink, message: LocalMessage) -> None:
        """Takes a submission or cancellation of a handler inside this process."""
        if isinstance(message, Submit):
            self._desk.submit(link, message)
        elif isinstance(message, Cancel):
            self._desk.cancel(link, message)
        elif isinstance(message, Ask):
            self._ask_inside(link, message)

    def _ask_inside(self, link: InsideLink, ask: Ask) -> None:
        answer = self._answers.get(ask.verb)
        assert answer is not None, "handlers inside this process ask what it knows"
        assert self._nursery is not None, "handlers run while it serves"
        arguments = msgspec.msgpack.decode(ask.arguments)
        self._nursery.start_soon(self._answer, link, ask.request, answer, arguments)

    def show(self, event: dict[str, Any]) -> None:
        """Shows watchers an event that did not come from the core, such as a log line."""
        if self._watchers:
            self._show(event)

    def _accept(self, listener: socket.socket, nursery: trio.Nursery) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                # Out of descriptors, or the client is gone again: others must not suffer.
                self._log.warning("local-accept-failed", error=str(error))
                return
            if len(self._connections) >= CONNECTIONS_LIMIT:
                turn_away(sock)
                continue
            connection = LocalConnection(sock, self._flusher, self._outgoing_limit)
            self._connections[connection] = None
            nursery.start_soon(self._serve_connection, connection)

    async def _serve_connection(self, connection: LocalConnection) -> None:
        reader: Reader | None = None

        def received(data: bytes) -> None:
            nonlocal reader
            if reader is None:
                reader, connection.pack = by_first_byte(data)
                connection.waits_at_end = isinstance(reader, LineReader)
            try:
                for message in reader.feed(data):
                    connection.asked(getattr(message, "request", 0))
                    self._receive(connection, message)
                    if connection.closed:
                        break
            except ProtocolError as error:
                self._expel(connection, "Malformed", str(error))
            self._driver.flush()

        try:
            await connection.serve(received)
        finally:
            connection.close()
            del self._connections[connection]
            self._watchers = [w for w in self._watchers if w[0] is not connection]
            self._desk.forget(connection)
            if connection.role == "worker":
                self._workers.left(connection)

    def _expel(self, connection: LocalConnection, kind: str, message: str) -> None:
        self._log.warning("local-expelled", client=connection.name, kind=kind, message=message)
        connection.send(Refused(request=0, kind=kind, message=message))
        connection.flush()
        connection.close()

    def _receive(self, connection: LocalConnection, message: LocalMessage) -> None:
        if not connection.role and not isinstance(message, Hello):
            self._expel(connection, "Malformed", "the first message is `hello`")
            return
        match message:
            case Submit():
                self._desk.submit(connection, message)
            case Ping():
                connection.send(Pong(request=message.request))
            case Cancel():
                self._desk.cancel(connection, message)
            case Attach():
                self._desk.attach(connection, message)
            case Ask():
                self._ask(connection, message)
            case Watch():
                self._watchers.append((connection, message.request, message.task))
            case Hello():
                self._hello(connection, message)
            case _ if connection.role == "worker":
                self._workers.received(connection, message)
            case _:
                self._expel(connection, "Malformed", "a client sent a worker's message")

    def _hello(self, connection: LocalConnection, hello: Hello) -> None:
        if hello.protocol != PROTOCOL:
            text = f"this peer speaks version {PROTOCOL} of the local protocol"
            self._expel(connection, "ProtocolMismatch", text)
        elif hello.role not in ("client", "worker") or connection.role:
            self._expel(connection, "Malformed", "one `hello`, as client or as worker")
        else:
            connection.role, connection.name, connection.pid = hello.role, hello.name, hello.pid
            connection.send(self._welcome)
            if hello.role == "worker":
                self._workers.joined(connection)

    def _ask(self, connection: LocalConnection, ask: Ask) -> None:
        try:
            arguments = msgspec.msgpack.decode(ask.arguments)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            self._expel(connection, "Malformed", f"arguments: {error}")
            return
        lookup = self._lookups.get(ask.verb)
        answer = self._answers.get(ask.verb)
        if ask.verb == "tasks" and lookup is not None:
            self._list_tasks(connection, ask.request, arguments, lookup)
        elif ask.verb == "redrive":
            self._redrive(connection, ask.request, arguments)
        elif lookup is not None:
            task = arguments.get("task") if isinstance(arguments, dict) else arguments
            self._desk.look_up(connection, ask.request, str(task), lookup)
        elif answer is not None and self._nursery is not None:
            self._nursery.start_soon(self._answer, connection, ask.request, answer, arguments)
        else:
            text = f"this peer does not know the question {ask.verb!r}"
            connection.send(Refused(request=ask.request, kind="UnknownVerb", message=text))

    def _list_tasks(
        self,
        connection: LocalConnection,
        request: int,
        arguments: Any,
        show: Callable[[TaskView], Any],
    ) -> None:
        try:
            wanted = msgspec.convert(arguments or {}, _TasksWanted)
        except msgspec.ValidationError as error:
            refusal = Refused(request=request, kind="InvalidInput", message=str(error))
            connection.send(refusal)
            return
        self._desk.list_tasks(connection, request, wanted.states, wanted.limit, show)

    def _redrive(self, connection: LocalConnection, request: int, arguments: Any) -> None:
        try:
            wanted = msgspec.convert(arguments or {}, _Redrive)
            if bool(wanted.tasks) + bool(wanted.skill) + wanted.all != 1:
                raise msgspec.ValidationError("give tasks, or a skill, or all")
        except msgspec.ValidationError as error:
            refusal = Refused(request=request, kind="InvalidInput", message=str(error))
            connection.send(refusal)
            return
        self._desk.redrive(connection, request, wanted.tasks, wanted.skill)

    async def _answer(
        self, connection: Link, request: int, answer: Answerer, arguments: Any
    ) -> None:
        try:
            value = answer(arguments)
            if isawaitable(value):
                value = await value
            reply: LocalMessage = Answer(request=request, value=encode_value(value))
        except Exception as error:  # noqa: BLE001  # a question must not end the peer: it is told why
            kind = getattr(error, "kind", type(error).__name__)
            if not isinstance(error, RefusedCommand):
                self._log.warning("local-question-failed", kind=kind, error=str(error))
            text = getattr(error, "message", str(error))
            retry_ns = getattr(error, "retry_after_ns", None)
            retry_ms = -1 if retry_ns is None else max(1, retry_ns // MILLISECOND_NS)
            reply = Refused(request=request, kind=kind, message=text, retry_after_ms=retry_ms)
        connection.send(reply)

    def _show(self, event: dict[str, Any]) -> None:
        text = None
        for connection, request, task in self._watchers:
            if task and not _is_about(event, task):
                continue
            text = text or encode_value(event)
            connection.send(EventSeen(request=request, event=text))


def _is_about(event: Any, task: str) -> bool:
    if isinstance(event, dict):
        return any(_is_about(value, task) for value in event.values())
    if isinstance(event, list | tuple):
        return any(_is_about(value, task) for value in event)
    return bool(event == task)
