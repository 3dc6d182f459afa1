"""One peer without I/O: the machine made of machines, over bytes.

A *step* is one external input: a local command, a frame from a peer, or a
wake-up. Within it, events of one machine become commands of others
(`routing.py`) through a bounded queue, never recursively. Everything that a
step persists is one atomic record; what leaves waits for it (`gate.py`).

A driver, real or simulated, does three things: it feeds inputs in, writes
`take_records` and confirms with `recorded`, and carries out `take_outward`.

A remote message that raises, whatever it raises, is a bug of ours. Stopping would
let one message end every peer, and the same message again after each restart, so it
is dropped, and its author not heard again until this peer restarts.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from mesh.core.admission import Admission, Admitted, described
from mesh.core.adverts import advertised, candidate
from mesh.core.bulk import Chunk, Credit
from mesh.core.bulk_traffic import BulkTraffic
from mesh.core.commands import Announce, LinkClosed, LinkOpened
from mesh.core.deadlines import Deadlines
from mesh.core.events import CommandRefused
from mesh.core.framing import FrameOrder
from mesh.core.gate import Gate
from mesh.core.machines import make_machines
from mesh.core.marks import marks_seen
from mesh.core.outward import Accuse, Execute, Notify, Outward, Transmit
from mesh.core.reachability import Reachability
from mesh.core.records import StepRecord, decode_records, encode_entries
from mesh.core.routing import (
    AUCTION,
    COMMANDS,
    GOSSIP,
    INTERNAL,
    MACHINE_OF,
    RECORD_KINDS,
    ROUTES,
    TASKS,
    Routed,
)
from mesh.core.settings import CoreSettings
from protocols.blackboard.events import EntriesChanged
from protocols.effects import Blame, Broadcast, Effect, Emit, Perform, Persist, Send
from protocols.errors import Malformed, Refused
from protocols.gossip.commands import Advertise, Contact
from protocols.gossip.events import MemberDown
from protocols.gossip.messages import SkillAdvert
from protocols.identity import Keyring
from protocols.machine import Instant, Now
from protocols.tasks.commands import HostSkills
from protocols.wire import MESSAGE_LIMIT, decode_frame, encode

STEP_LIMIT = 100_000
"""Internal events and commands in one step; more can only be a loop between machines."""
LINKS_LIMIT = 4096
"""Peers whose frame order is remembered; the one first met makes room."""


class PeerCore:
    """One peer: its machines behind one admission and one release gate.

    Attributes:
        gossip, auction, tasks, blobs, board, voting, log: the machines, for queries alone.
        labels: what this peer says that it is fit for.
        trust: who may vouch for peers, and who is revoked; for queries too.
    """

    def __init__(
        self,
        settings: CoreSettings,
        keyring: Keyring,
        credential: bytes,
        root: bytes,
        boot: int,
        rng: random.Random,
        entropy: Callable[[int], bytes],
        compile_schema: Callable[[bytes], Callable[[object], str | None]],
    ) -> None:
        """Takes everything that is not pure from outside.

        Args:
            settings: the machines' parameters.
            keyring: signs as this peer.
            credential: this peer's encoded credential chain.
            root: the mesh's root public key.
            boot: how often this peer has started; never repeats.
            rng: the one source of randomness, seeded once and logged.
            entropy: `entropy(n)` gives n secret bytes.
            compile_schema: turns a JSON Schema into a check (`schemas.compile_schema`).
        """
        self.peer = keyring.peer
        self.boot = boot
        machines = make_machines(
            settings, keyring, credential, root, boot, rng, entropy, compile_schema
        )
        self.gossip, self.auction, self.tasks, self.board, self.voting, self.log = machines[:6]
        self._machines, self.blobs = machines.by_name(), machines.blobs
        self.trust = self.gossip.trust
        self._admission = Admission(self.trust, keyring)
        self._gate = Gate()
        self._deadlines = Deadlines(self._machines)
        self._queue: deque[tuple[str, bool, Any]] = deque()
        self._name = self._door = ""
        self._skills: tuple[SkillAdvert, ...] = ()
        self.labels: tuple[str, ...] = ()
        self._orders: dict[bytes, FrameOrder] = {}
        self._bulk = BulkTraffic(boot)
        self._reachability = Reachability()
        self._now = Now(0, 0)

    # Restart.

    def restore(self, records: Iterable[bytes], now: Now) -> None:
        """Rebuilds the machines from the journal; once, before anything else.

        Raises:
            StorageCorrupt: a record does not decode.
        """
        self._now = now
        restored = decode_records(records, RECORD_KINDS)
        for name, machine in self._machines.items():
            self._deadlines.stale[name] = None
            machine.restore(restored[name], now)

    def snapshot(self) -> Iterator[bytes]:
        """The durable state as records that replace all records so far."""
        assert not self._gate.has_pending_records, "a snapshot while records are pending"
        for name, machine in self._machines.items():
            for record in machine.snapshot():
                yield encode_entries(((name, record),))

    # Steps.

    def submit(self, command: msgspec.Struct, now: Now) -> None:
        """Takes a local command.

        Raises:
            Refused: by the machine that takes it; nothing has changed.
        """
        self._now = now
        match command:
            case Announce():
                self._name, self._door = command.name, command.door
                self._advertise()
            case HostSkills():
                self._host(command)
            case LinkOpened():
                self._bulk.restart(command.peer)
                self._enqueue(self._reachability.link_opened(command.peer))
            case LinkClosed():
                self._enqueue(self._reachability.link_closed(command))
            case _:
                name = COMMANDS[type(command)]
                effects = self._machines[name].submit(command, now)
                self._touch(name)
                self._absorb(name, effects)
        self._end_step(now)

    def receive(self, link: bytes, frame: bytes, now: Now) -> None:
        """Takes a frame from an authenticated peer. Never raises, whatever it holds."""
        self._now = now
        if link == self.peer or self._admission.is_deaf_to(link):
            return
        try:
            decoded = decode_frame(frame)
        except Malformed as error:
            self._blame(link, f"malformed frame: {error}")
            self._end_step(now)
            return
        order = self._orders.get(link)
        if order is None:
            if len(self._orders) >= LINKS_LIMIT:
                del self._orders[next(iter(self._orders))]
            order = self._orders[link] = FrameOrder()
        known = order.epoch
        if not order.is_new(decoded):
            return
        if order.epoch != known:
            self._bulk.new_link_from(link)
        for data in decoded.messages:
            self._receive_message(link, data, now, False)
        self._end_step(now)

    def wake(self, now: Now) -> None:
        """Does all that is due at `now`."""
        self._now = now
        for name in self._deadlines.due(now.monotonic_ns):
            self._touch(name)
            self._absorb(name, self._machines[name].wake(now))
        self._bulk.wake(now.monotonic_ns)
        self._end_step(now)

    def deadline(self) -> Instant | None:
        """When `wake` is wanted: the least deadline of all machines."""
        least, stalls = self._deadlines.least(), self._bulk.deadline()
        return stalls if least is None or (stalls is not None and stalls < least) else least

    # What the driver takes out.

    @property
    def has_pending_records(self) -> bool:
        """Whether records wait to be written, or to be confirmed."""
        return self._gate.has_pending_records

    def take_records(self) -> tuple[StepRecord, ...]:
        """The records to write, in order; confirm them with `recorded`."""
        return self._gate.take_records()

    def recorded(self, number: int) -> None:
        """All records up to `number` are durable."""
        self._gate.recorded(number)

    def take_outward(self) -> list[Outward]:
        """What may leave now: transmissions first, then the rest in order."""
        ready = self._gate.take_ready()
        if not ready and not self._bulk.is_due:
            return []
        frames: dict[bytes, list[bytes]] = {}
        rest: list[Outward] = []
        for effect in ready:
            match effect:
                case Send():
                    self._queue_bytes(frames, effect.to, encode(effect.message))
                case Broadcast():
                    data = encode(effect.message)
                    for peer in self.gossip.alive():
                        self._queue_bytes(frames, peer, data)
                case Emit():
                    rest.append(Notify(effect.event))
                case Perform():
                    rest.append(Execute(effect.job))
                case Blame():
                    rest.append(Accuse(effect.peer, effect.offence, effect.evidence))
        if self._bulk.is_due:
            for peer, chunks in self._bulk.take(self._now.monotonic_ns):
                frames.setdefault(peer, []).extend(encode(chunk) for chunk in chunks)
        return [*(Transmit(to, tuple(messages)) for to, messages in frames.items()), *rest]

    # Queries.

    def contact(self, peer: bytes) -> Contact | None:
        """Where a peer can be met, as far as gossip knows."""
        known = self.gossip.contact(peer)
        if known is None or known.curve is None:
            return None
        return Contact(known.peer, known.door, known.curve)

    def hosted_skills(self) -> list[str]:
        """The skills of this peer's own agents, as ``name@version``."""
        return [f"{skill.name}@{skill.version}" for skill in self._skills]

    def sick_skills(self) -> list[str]:
        """Those of them whose agents cannot work now."""
        return [f"{skill.name}@{skill.version}" for skill in self._skills if skill.sick]

    def check(self) -> None:
        """Asserts the invariants of all machines."""
        for machine in self._machines.values():
            machine.check()
        self._deadlines.check()

    # Inside a step.

    def _touch(self, name: str) -> None:
        """A machine takes part in the step, so its deadline may change."""
        self._gate.touch(name)
        self._deadlines.stale[name] = None

    def _receive_message(
        self, link: bytes, data: bytes | msgspec.Raw, now: Now, bulk: bool
    ) -> None:
        try:
            admitted = self._admission.admit(link, data, now, bulk)
        except Malformed as error:
            self._blame(link, f"malformed message: {error}")
            return
        isolated = self._admission.isolated
        if admitted is None or (isolated and (link in isolated or admitted.author in isolated)):
            return
        name = MACHINE_OF.get(admitted.kind)
        if name is not None:
            self._deliver(name, link, admitted, now)
        elif admitted.kind is Credit:
            self._bulk.credit(link, admitted.message, now.monotonic_ns)
        elif not bulk:
            assert admitted.kind is Chunk, "admission knows no other kind"
            self._receive_chunk(link, admitted.message, now)

    def _receive_chunk(self, link: bytes, chunk: Chunk, now: Now) -> None:
        whole, credit = self._bulk.receive(link, chunk)
        if credit is not None:
            self._gate.touch("core")
            self._gate.add("core", Send(link, credit, prompt=True), prompt=True)
        if whole is not None:
            self._receive_message(link, whole, now, bulk=True)

    def _deliver(self, name: str, link: bytes, admitted: Admitted, now: Now) -> None:
        self._touch(name)
        try:
            effects = self._machines[name].receive(link, admitted.author, admitted.message, now)
            self._absorb(name, effects)
            if self._queue:
                self._drain(now)
        except Exception as error:  # noqa: BLE001  # a bug, told by `Blame`; see the module
            self._queue.clear()
            # Whoever signed it, not who passed it on: else one bad record, which all
            # members relay, would turn them all against each other.
            self._admission.isolate(admitted.author, str(error))
            self._blame(
                admitted.author,
                f"isolated: its {admitted.kind.__name__} broke {name}: {described(error)}",
            )

    def _absorb(self, name: str, effects: tuple[Effect, ...]) -> None:
        add = self._gate.add
        for effect in effects:
            match effect:
                case Send():
                    if effect.to == self.peer:
                        message = effect.message
                        self._queue.append((MACHINE_OF[type(message)], True, message))
                    else:
                        add(name, effect, effect.prompt)
                case Emit():
                    event = effect.event
                    route = ROUTES.get(type(event))
                    if route is not None:
                        self._observe(event)
                        self._enqueue(route(event))
                    if type(event) not in INTERNAL:
                        add(name, effect, False)
                case Persist():
                    self._gate.persist(name, effect)
                case Broadcast():
                    add(name, effect, effect.prompt)
                case Blame() | Perform():
                    add(name, effect, False)

    def _enqueue(self, routed: Iterable[Routed]) -> None:
        for name, command in routed:
            self._queue.append((name, False, command))

    def _drain(self, now: Now) -> None:
        taken = 0
        while self._queue:
            taken += 1
            assert taken <= STEP_LIMIT, "machines answer each other without end"
            name, is_message, payload = self._queue.popleft()
            self._touch(name)
            machine = self._machines[name]
            if is_message:
                self._absorb(name, machine.receive(self.peer, self.peer, payload, now))
                continue
            try:
                self._absorb(name, machine.submit(payload, now))
            except Refused as refusal:
                kind = type(payload).__name__
                self._absorb(name, (Emit(CommandRefused(name, kind, refusal.message)),))

    def _end_step(self, now: Now) -> None:
        if self._queue:
            self._drain(now)
        self._gate.end_step()

    def _blame(self, peer: bytes, offence: str) -> None:
        self._gate.touch("core")
        self._gate.add("core", Blame(peer, offence), prompt=True)

    def _queue_bytes(self, frames: dict[bytes, list[bytes]], to: bytes, data: bytes) -> None:
        if len(data) > MESSAGE_LIMIT:
            self._bulk.offer(to, data)
        else:
            frames.setdefault(to, []).append(data)

    # What this peer says of itself.

    def _host(self, command: HostSkills) -> None:
        self._skills, self.labels = advertised(command), command.labels
        self._enqueue([(TASKS, command), (AUCTION, candidate(self.peer, self.boot, command))])
        self._advertise()

    def _advertise(self) -> None:
        if self._door:
            said = Advertise(self._name, self._door, self._skills, self.labels)
            self._enqueue([(GOSSIP, said)])

    def _observe(self, event: msgspec.Struct) -> None:
        """All of these are routed, so that only routed ones are shown here."""
        self._reachability.observe(event)
        if isinstance(event, MemberDown):
            self._bulk.forget(event.peer)
        elif isinstance(event, EntriesChanged):
            self._enqueue((TASKS, seen) for seen in marks_seen(event, self.board))
