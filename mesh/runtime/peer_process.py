"""One peer as an operating-system process: everything put together.

Start: lock the folder, load keys and credential, open the journal, restore the
core, bind the sockets, serve. Stop (SIGTERM, SIGINT): refuse new work, let what
runs finish for a while, say goodbye, close. kill -9 at any moment is a start
from the journal.
"""

import contextlib
import os
import platform
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import structlog
import trio

from mesh.core.commands import Announce
from mesh.core.outward import Accuse
from mesh.core.peer import PeerCore
from mesh.core.recorded_core import RecordedCore, RecordedEntropy, RecordedKeyring, Tape
from mesh.core.recording import FIRST_LINK, FORMAT, Opening
from mesh.core.schemas import compile_schema
from mesh.core.settings import CoreSettings
from mesh.local.messages import Welcome
from mesh.runtime import descriptors, probe
from mesh.runtime.accusations import Accusations
from mesh.runtime.ballot_desk import BallotDesk
from mesh.runtime.blob_desk import BlobDesk
from mesh.runtime.board_desk import BoardDesk
from mesh.runtime.clock import SystemClock
from mesh.runtime.draining import Draining
from mesh.runtime.driver import Core, Driver, end_hung_process
from mesh.runtime.event_log import EventLog
from mesh.runtime.installed import installed_version
from mesh.runtime.invitation_desk import InvitationDesk
from mesh.runtime.issuing import Issuing
from mesh.runtime.launcher import PROBE
from mesh.runtime.local_server import LocalServer
from mesh.runtime.query_desk import QueryDesk
from mesh.runtime.renewal import Renewal
from mesh.runtime.restoring import reading_back
from mesh.runtime.serve_file import AS_UP, Serving
from mesh.runtime.serving import bind, contacts, tell_ready
from mesh.runtime.sockets import CurveKeys
from mesh.runtime.standing import Standing
from mesh.runtime.transport import Transport
from mesh.runtime.views import Views
from mesh.runtime.workers import WorkerHost
from mesh.storage.authority import load_or_renew
from mesh.storage.folder import MeshFolder
from mesh.storage.journal import Journal
from mesh.storage.lock import FolderLock
from mesh.storage.recorder import Recorder
from mesh.storage.watchdog import Watchdog
from protocols.blobs.parameters import BlobParameters
from protocols.errors import ConfigurationError, MeshError
from protocols.gossip.commands import Join
from protocols.identity import Ed25519Keyring, text_id
from protocols.invitations.messages import Seed

GOODBYE_S = 0.1
SETTLED_AGENT_STATES = ("ready", "asleep", "failed")
CHECKPOINT_EVERY_S = 1.0
FAILED_STATUS = 1
MEGABYTE = 1024 * 1024


def run_peer(path: Path, name: str, serving: Serving = AS_UP) -> int:
    """Runs one peer until it is stopped; gives the exit status. Errors go to stderr."""
    if not __debug__:
        sys.stderr.write("mesh: a peer does not run under python -O: its assertions guard it\n")
        return FAILED_STATUS
    status = 0
    try:
        folder = MeshFolder.open(path)
        place = folder.peer_folder(name)
        with FolderLock(place.path):
            trio.run(PeerProcess(folder, name, serving).serve)
    except* MeshError as group:
        for error in _leaves(group):
            sys.stderr.write(f"mesh: {name} stops: {error}\n")
        status = FAILED_STATUS
    return status


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves


class PeerProcess:
    """The parts of one peer, and their order."""

    def __init__(self, folder: MeshFolder, name: str, serving: Serving) -> None:
        """Loads what the peer is from its folder.

        Raises:
            ConfigurationError: keys, credential or journal cannot be used.
        """
        self._folder = folder
        self._name = name
        self._serving = serving
        self._entry = folder.peer(name)
        self._place = folder.peer_folder(name)
        self._material = load_or_renew(folder, name)
        self._keyring = Ed25519Keyring(self._material.keys.seed, self._material.root)
        self._log = structlog.get_logger("mesh.peer").bind(peer=name)
        self._clock = SystemClock()
        self._watchdog = Watchdog("the disk", end_hung_process)
        self._watchdog.start()
        self._journal = Journal(
            self._place.journal,
            self._material.root,
            self._keyring.peer,
            serving.durability,
            self._watchdog,
        )
        self._accusations = Accusations(lambda: self._clock.now().monotonic_ns)

    async def serve(self) -> None:
        """Serves until a signal asks to stop.

        Raises:
            MeshError: the peer cannot go on; says why.
        """
        descriptors.raise_limit()
        boot = self._journal.next_boot()
        seed = int.from_bytes(os.urandom(8), "big")
        self._log.info("starts", boot=boot, seed=seed, pid=os.getpid())
        rng = random.Random(seed)
        tape = Tape()
        self._core = PeerCore(
            CoreSettings(blobs=BlobParameters(quota_bytes=self._entry.blob_quota)),
            RecordedKeyring(self._keyring, tape),
            self._material.credential,
            self._material.root,
            boot,
            rng,
            RecordedEntropy(os.urandom, tape),
            compile_schema,
        )
        with reading_back():
            self._core.restore(self._journal.read(), self._clock.now())
        self._issuing = Issuing(self._folder, self._core, self._keyring, self._me)
        self._standing = Standing(
            self._place,
            self._material,
            self._core,
            self._keyring,
            self._issuing,
            self._clock.now,
        )
        self._events = EventLog(self._place.events, self._name, lambda: self._clock.now().wall_ns)
        with self._recorded(tape) as core:
            self._driver = Driver(core, self._journal, self._clock)
            await self._serve(boot, rng)
        self._journal.close()
        self._watchdog.stop()
        self._events.close()
        if self._standing.ended:
            raise ConfigurationError(self._standing.ended)

    @contextlib.contextmanager
    def _recorded(self, tape: Tape) -> Iterator[Core]:
        """The core as the driver shall know it: with a flight recorder, where one is wanted."""
        limit = self._entry.recording_mb * MEGABYTE
        if not limit:
            yield self._core
            return
        recorder = Recorder(self._place.recording, limit)
        now = self._clock.now()
        opening = Opening(
            FORMAT,
            installed_version(),
            platform.python_version(),
            self._name,
            self._core.peer,
            self._material.root,
            self._core.boot,
            0,
            now.monotonic_ns,
            now.wall_ns,
            FIRST_LINK,
        )
        core = RecordedCore(self._core, tape, recorder, opening, limit, self._recording_told)
        in_order = False
        try:
            yield core
            in_order = True
        finally:
            core.close(in_order)
            recorder.close()

    def _recording_told(self, reason: str) -> None:
        if reason:
            self._log.warning("recording stopped", reason=reason)
            self._events.write({"event": "recording.stopped", "reason": reason})
        else:
            self._events.write({"event": "recording.resumed"})

    async def _serve(self, boot: int, rng: random.Random) -> None:
        self._transport = self._make_transport(rng)
        door, moved = bind(self._serving, self._transport, self._entry.door)
        if moved:
            self._log.warning("door-moved", was=self._entry.door, why=moved)
        self._views = Views(self._core, self._name, door, os.getpid())
        socket = self._folder.socket_path(self._name)
        self._folder.update_peer(self._name, door=door, socket=socket)
        self._workers = WorkerHost(
            self._driver,
            socket=socket,
            logs=self._place.path,
            show=self._show,
            memory=self._entry.worker_memory,
            python=self._entry.python,
            labels=tuple(self._entry.labels),
            secrets=self._entry.secrets,
        )
        self._add_agents()
        self._ballots = BallotDesk(self._core, self._driver, self._views)
        self._board = BoardDesk(self._core.board, self._driver, self._clock.now, self._views)
        self._blobs = BlobDesk(self._core, self._driver, self._views.find_peer, self._place.blobs)
        self._queries = QueryDesk(
            self._core, self._views, self._events, self._place.events, self._clock.now
        )
        self._server = self._make_server(boot)
        self._draining = Draining(self._driver, self._core)
        self._standing.begin(self._driver, self._transport)
        self._driver.attach(self)
        self._driver.carry_with(self._transport.transmit)
        await self._run(door, socket)

    def _add_agents(self) -> None:
        for target in self._entry.agents:
            if target == PROBE:
                self._workers.add_agent(probe.agent, probe.__file__)
            else:
                self._workers.add_file(target)

    async def _run(self, door: str, socket: Path) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._transport.run)
                nursery.start_soon(self._blobs.run)
                await nursery.start(self._server.serve, socket)
                await nursery.start(self._workers.run)
                self._driver.submit(Announce(self._name, door))
                known = self._folder.read()
                seeds = [*self._serving.seeds, *known.seeds]
                self._driver.submit(Join(contacts(self._name, known.peers, seeds)))
                nursery.start_soon(self._driver.run)
                nursery.start_soon(self._checkpoints)
                nursery.start_soon(self._events.run)
                nursery.start_soon(self._renewal.run)
                nursery.start_soon(self._draining.run)
                nursery.start_soon(self._ballots.run, self._folder, lambda: self._status()["ready"])
                if self._serving.in_foreground:
                    tell_ready(self._card())
                async for number in signals:
                    self._log.info("stops", signal=signal.Signals(number).name)
                    break
                await self._stop()
                nursery.cancel_scope.cancel()

    async def _stop(self) -> None:
        self._draining.begin()
        self._queries.end()
        with trio.move_on_after(self._serving.drain_s):
            await self._draining.drained.wait()
        self._draining.leave()
        await trio.sleep(GOODBYE_S)
        await self._transport.stop()

    async def _checkpoints(self) -> None:
        while True:
            await trio.sleep(CHECKPOINT_EVERY_S)
            if self._journal.should_checkpoint():
                self._driver.flush()
                if not self._core.has_pending_records:
                    self._journal.checkpoint(self._core.snapshot())

    # The host of the driver: what leaves the core for this machine.

    def notify(self, event: msgspec.Struct) -> None:
        """Takes an event of the core: to the log, to clients, to workers."""
        for part in (self._draining, self._standing, self._desk, self._ballots, self._board):
            part.notify(event)
        self._blobs.notify(event)
        self._queries.notify(event)
        self._events.note(event)
        self._server.notify(event)

    def execute(self, job: msgspec.Struct) -> None:
        """Takes work for this peer's workers."""
        if not (self._ballots.execute(job) or self._blobs.execute(job)):
            self._workers.execute(job)

    def accuse(self, accusation: Accuse) -> None:
        """Takes note of a peer's misconduct."""
        event = self._accusations.event(accusation)
        if event is not None:
            self._log.warning("blamed", **{k: v for k, v in event.items() if k != "event"})
            self._show(event)

    def _show(self, event: dict[str, Any]) -> None:
        self._events.write(event)
        self._server.show(event)

    # Making the parts.

    def _make_transport(self, rng: random.Random) -> Transport:
        keys = self._material.keys
        self._desk = InvitationDesk(self._driver, self._issuing, self._clock.now)
        transport = Transport(
            CurveKeys(keys.curve_public, keys.curve_secret),
            lambda: self._standing.credential,
            self._standing.verify,
            self._core.contact,
            self._driver,
            self._clock.now,
            rng,
            take_join=self._desk.come,
            take_renewal=self._issuing.renew,
            hear=self._standing.hear,
        )
        self._renewal = Renewal(
            self._standing, self._core, self._issuing, transport.ask, rng, self._show
        )
        return transport

    def _me(self) -> tuple[str, Seed]:
        """This peer's name, and where it is met."""
        door = str(self._views.status()["address"])
        return self._name, Seed(self._core.peer, door, self._material.keys.curve_public)

    def _card(self) -> dict[str, Any]:
        shown = ("name", "id", "address", "pid")
        status = self._views.status()
        return {**{key: status[key] for key in shown}, "dir": str(self._folder.path)}

    def _make_server(self, boot: int) -> LocalServer:
        welcome = Welcome(
            peer=text_id(self._core.peer),
            name=self._name,
            mesh=text_id(self._material.root),
            boot=boot,
            version=installed_version(),
        )
        return LocalServer(
            self._driver,
            self._workers,
            welcome=welcome,
            answers={
                "status": lambda _: self._status(),
                "peers": lambda _: self._views.peers(),
                "skills": lambda _: self._views.skills(),
                "invite": self._desk.invite,
                "reload": self._reload,
                **self._ballots.verbs(),
                **self._board.verbs(),
                **self._standing.verbs(),
                **self._queries.verbs(),
                **self._blobs.verbs(),
                "renew": lambda arguments: self._renewal.renew(arguments),
                "drain": lambda _: self._draining.order(),
            },
            lookups={
                "task": self._views.task,
                "tasks": self._views.listed,
                "why": self._views.why,
            },
            find_peer=self._views.find_peer,
            name_of=self._views.name_of,
        )

    async def _reload(self, arguments: Any) -> list[dict[str, Any]]:
        file = arguments.get("file", "") if isinstance(arguments, dict) else ""
        return await self._workers.reload(str(file))

    def _status(self) -> dict[str, Any]:
        agents = [
            {"target": process.target, "state": process.state, "error": process.error}
            for process in self._workers.processes
        ]
        ready = all(agent["state"] in SETTLED_AGENT_STATES for agent in agents)
        own = {"ready": ready, "agents": agents, "ailing": self._workers.ailing}
        return self._draining.shown(self._views.status()) | own
