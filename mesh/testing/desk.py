"""What a peer's local socket does for clients and handlers, without the socket.

The production desk turns requests into commands and events into answers; here
it stands on a simulated peer.
"""

import random
from collections.abc import Callable
from typing import Any

import msgspec

from mesh.local.codec import encode_value
from mesh.local.messages import (
    Answer,
    Ask,
    Attach,
    Cancel,
    LocalMessage,
    Ping,
    Pong,
    Refused,
    Submit,
    Welcome,
)
from mesh.runtime.local_connection import Link
from mesh.runtime.local_requests import TaskDesk
from mesh.runtime.views import Views
from mesh.testing.board import After, VirtualBoard
from protocols.identity import text_id
from protocols.tasks.commands import CancelTasks, SubmitTasks
from protocols.tasks.events import SubmissionRefused, TasksAccepted
from simulations.observations import CancelAsked
from simulations.peer import SimulatedPeer
from simulations.world import World


class Driver:
    """Gives the desk's commands to a simulated peer's core."""

    def __init__(self, world: World, peer: SimulatedPeer) -> None:
        self._world = world
        self._peer = peer
        self._core = peer.core
        self._numbers: dict[int, int] = {}

    def submit(self, command: msgspec.Struct) -> None:
        """Takes a command.

        Raises:
            Refused: the core does not want it.
        """
        if self._peer.core is not self._core:
            return
        if isinstance(command, SubmitTasks):
            # The world numbers submissions, so that checkers know them all apart.
            own = command.request
            refused = self._world.ask(
                self._peer, command.tasks, lambda request: self._numbers.update({request: own})
            )
        else:
            if isinstance(command, CancelTasks):
                self._world.observe(self._peer, CancelAsked(command.task))
            refused = self._peer.submit(command)
        if refused is not None:
            raise refused

    def flush(self) -> None:
        """A simulated peer carries everything out at once."""

    def renumbered(self, event: msgspec.Struct) -> msgspec.Struct:
        """An event about a submission, under the number that the desk gave it."""
        if isinstance(event, TasksAccepted | SubmissionRefused):
            own = self._numbers.pop(event.request, 0)
            return msgspec.structs.replace(event, request=own)
        return event


class PeerDesk:
    """Serves the clients and the handlers of one running peer."""

    def __init__(self, world: World, peer: SimulatedPeer, rng: random.Random, after: After) -> None:
        """Opens the desk of a peer that runs; `after` does things unless that dies before."""
        assert peer.core is not None, "a desk is opened by a peer that runs"
        self._rng = rng
        self._driver = Driver(world, peer)
        self._views = Views(peer.core, peer.name, peer.door, 0)
        self._desk = TaskDesk(self._driver, self._views.find_peer, self._views.name_of)
        self._board = VirtualBoard(world, peer, self._driver, self._views, after)
        self.welcome = Welcome(
            peer=text_id(peer.peer),
            name=peer.name,
            mesh=text_id(world.root),
            boot=peer.disk.boot,
            version="",
        )

    def notify(self, event: msgspec.Struct) -> None:
        """Takes an event of the core."""
        self._desk.notify(self._driver.renumbered(event))
        self._board.notify(event)

    def receive(self, link: Link, message: LocalMessage) -> None:
        """Takes a message of a client or a handler."""
        match message:
            case Submit():
                trace = message.traceparent or self._traceparent()
                self._desk.submit(link, msgspec.structs.replace(message, traceparent=trace))
            case Cancel():
                self._desk.cancel(link, message)
            case Attach():
                self._desk.attach(link, message)
            case Ping():
                link.send(Pong(request=message.request))
            case Ask():
                self._ask(link, message)
            case _:
                text = f"a simulated peer does not take {type(message).__name__}"
                self._refuse(link, message, "Unsupported", text)

    def forget(self, link: Link) -> None:
        """A client or a handler is gone; its tasks run on."""
        self._desk.forget(link)

    def _ask(self, link: Link, ask: Ask) -> None:
        arguments = msgspec.msgpack.decode(ask.arguments)
        given = arguments if isinstance(arguments, dict) else {"task": arguments}
        answers: dict[str, Callable[[], Any]] = {
            "peers": self._views.peers,
            "skills": self._views.skills,
            "status": self._views.status,
        }
        lookups = {"task": self._views.task, "why": self._views.why}
        if ask.verb in answers:
            value = encode_value(answers[ask.verb]())
            link.send(Answer(request=ask.request, value=value))
        elif ask.verb in lookups:
            task = str(given.get("task"))
            self._desk.look_up(link, ask.request, task, lookups[ask.verb])
        elif ask.verb == "tasks":
            states = tuple(given.get("states", ()))
            limit = int(given.get("limit", 100))
            self._desk.list_tasks(link, ask.request, states, limit, self._views.listed)
        elif self._board.knows(ask.verb):
            self._board.answer(link, ask.request, ask.verb, arguments)
        else:
            text = f"a simulated peer does not know the question {ask.verb!r}"
            self._refuse(link, ask, "UnknownVerb", text)

    def _refuse(self, link: Link, message: LocalMessage, kind: str, text: str) -> None:
        request = getattr(message, "request", 0)
        link.send(Refused(request=request, kind=kind, message=text))

    def _traceparent(self) -> str:
        return f"00-{self._rng.getrandbits(128):032x}-{self._rng.getrandbits(64):016x}-01"
