"""Many production cores in virtual time, driven from one heap of events.

Nothing here knows what a protocol does: the world moves frames, time, records
and crashes, exactly as the real driver does, and reports what the cores say to
the checkers. A run is its construction and its seed.
"""

import hashlib
import heapq
import random
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from mesh.core.commands import Announce, LinkClosed, LinkOpened
from mesh.core.framing import FrameWriter
from mesh.core.outward import Accuse, Execute, Notify, Outward, Transmit
from mesh.core.peer import PeerCore
from mesh.core.schemas import compile_schema
from mesh.core.settings import CoreSettings
from protocols.credentials import (
    NO_CURVE,
    ROLE_ISSUER,
    ROLE_PEER,
    Credential,
    encode_chain,
    issue,
)
from protocols.errors import Refused
from protocols.gossip.commands import Contact, Join
from protocols.identity import Ed25519Keyring
from protocols.machine import MICROSECOND_NS, SECOND_NS, Instant, Now
from protocols.tasks.commands import HostSkills, JobsEnded
from protocols.tasks.events import ResumeJobs, RunJob, RunJobs, StopJobs
from protocols.tasks.messages import Outcome
from simulations.agents import ModelledSkill, outcome_of
from simulations.disk import Disk
from simulations.network import Network, NetworkConditions

EPOCH_WALL_NS = 1_700_000_000 * SECOND_NS
COMMIT_NS = 100 * MICROSECOND_NS
"""How long a group commit takes; records of steps made meanwhile wait for the next."""
CHECKPOINT_RECORDS = 2_000
YEAR_S = 365 * 24 * 3600


class Checker(Protocol):
    """Watches a run, and raises `Violation` when an invariant is broken."""

    def event(self, world: "World", peer: "SimulatedPeer", event: msgspec.Struct) -> None:
        """A core told the outside something."""

    def finish(self, world: "World") -> None:
        """The run is over, and faults stopped some time ago."""


class Violation(AssertionError):
    """An invariant was broken. The message names it."""


class SimulatedPeer:
    """One peer: its identity and disk, which survive, and its core, which does not."""

    def __init__(self, name: str, keyring: Ed25519Keyring, credential: bytes) -> None:
        self.name = name
        self.keyring = keyring
        self.credential = credential
        self.peer = keyring.peer
        self.door = f"sim://{name}"
        self.disk = Disk()
        self.core: PeerCore | None = None
        self.paused_until: Instant = 0
        self.speed = 1.0
        self.skills: dict[str, ModelledSkill] = {}
        self.writers: dict[bytes, FrameWriter] = {}
        self.committing = False
        self.woken_at: Instant | None = None
        self.jobs: dict[tuple[bytes, str, int], RunJob] = {}


class World:
    """The heap of events, the peers, and what they see of each other."""

    def __init__(
        self,
        seed: int,
        peers: int,
        settings: CoreSettings | None = None,
        conditions: NetworkConditions | None = None,
        checkers: tuple[Checker, ...] = (),
    ) -> None:
        """Makes the peers, not yet started; see `start`."""
        self.seed = seed
        self.rng = random.Random(seed)
        self.now: Instant = SECOND_NS
        self.network = Network(
            conditions or NetworkConditions(), random.Random(self.rng.getrandbits(64))
        )
        self.events = 0
        self.checkers = checkers
        self._settings = settings or CoreSettings()
        self._heap: list[tuple[Instant, int, Callable[[], None]]] = []
        self._order = 0
        self._digest = hashlib.blake2b(digest_size=16)
        self._agents_rng = random.Random(self.rng.getrandbits(64))
        root_seed = self._entropy(32)
        self._root = Ed25519Keyring(root_seed, Ed25519Keyring(root_seed, bytes(32)).peer)
        self.peers = [self._make_peer(f"peer-{index + 1}") for index in range(peers)]
        self.by_id = {peer.peer: peer for peer in self.peers}

    # Making peers.

    def _entropy(self, size: int) -> bytes:
        return self.rng.randbytes(size)

    def _make_peer(self, name: str) -> SimulatedPeer:
        mesh = self._root.peer
        keyring = Ed25519Keyring(self._entropy(32), mesh)
        begin = EPOCH_WALL_NS // SECOND_NS - 60

        def credential(subject: bytes, role: str) -> Credential:
            return Credential(
                mesh, subject, NO_CURVE, (role,), ("default",), begin, begin + YEAR_S, 1
            )

        issuer = issue(self._root, credential(mesh, ROLE_ISSUER))
        chain = encode_chain(issuer, issue(self._root, credential(keyring.peer, ROLE_PEER)))
        return SimulatedPeer(name, keyring, chain)

    # Time.

    def at(self, instant: Instant, action: Callable[[], None]) -> None:
        """Does something at an instant of virtual time."""
        self._order += 1
        heapq.heappush(self._heap, (max(instant, self.now), self._order, action))

    def after(self, delay_ns: int, action: Callable[[], None]) -> None:
        """Does something after a delay."""
        self.at(self.now + delay_ns, action)

    def run(self, duration_ns: int) -> None:
        """Lets virtual time pass."""
        end = self.now + duration_ns
        while self._heap and self._heap[0][0] <= end:
            instant, _, action = heapq.heappop(self._heap)
            self.now = instant
            self.events += 1
            action()
        self.now = end

    def run_until(self, condition: Callable[[], bool], limit_ns: int) -> bool:
        """Lets time pass until the condition holds; False where the limit came first."""
        end = self.now + limit_ns
        while not condition():
            if not self._heap or self._heap[0][0] > end:
                self.now = end
                return condition()
            instant, _, action = heapq.heappop(self._heap)
            self.now = instant
            self.events += 1
            action()
        return True

    def clock(self) -> Now:
        """What a peer's clocks say now."""
        return Now(self.now, EPOCH_WALL_NS + self.now)

    def finish(self) -> str:
        """Ends the run: every core's and checker's last word. Returns the trace digest."""
        for peer in self.peers:
            if peer.core is not None:
                peer.core.check()
        for checker in self.checkers:
            checker.finish(self)
        return self._digest.hexdigest()

    # Peers.

    def start(self, peer: SimulatedPeer, skills: tuple[ModelledSkill, ...] | None = None) -> None:
        """Starts a peer, or starts it again from its disk."""
        assert peer.core is None, f"{peer.name} is running"
        core = PeerCore(
            self._settings,
            peer.keyring,
            peer.credential,
            self._root.peer,
            peer.disk.next_boot(),
            random.Random(self.rng.getrandbits(64)),
            self._entropy,
            compile_schema,
        )
        core.restore(peer.disk, self.clock())
        peer.core = core
        peer.writers.clear()
        peer.jobs.clear()
        peer.committing = False
        peer.woken_at = None
        if skills is not None:
            peer.skills = {skill.name: skill for skill in skills}
        self.submit(peer, Announce(peer.name, peer.door))
        hosted = tuple((skill.spec(), skill.slots) for skill in peer.skills.values())
        self.submit(peer, HostSkills(hosted))
        contacts = tuple(
            Contact(other.peer, other.door, NO_CURVE) for other in self.peers if other is not peer
        )
        self.submit(peer, Join(contacts[:3]))
        core.wake(self.clock())
        self._settle(peer)

    def crash(self, peer: SimulatedPeer) -> None:
        """Kill -9: what was not written is lost, and so is everything in memory."""
        if peer.core is None:
            return
        peer.core = None
        peer.jobs.clear()
        for other in self.peers:
            if other.core is not None and peer.peer in other.writers:
                del other.writers[peer.peer]
                self.after(MICROSECOND_NS, self._link_broken(other, other.core, peer))

    def _link_broken(
        self, other: SimulatedPeer, core: PeerCore, gone: SimulatedPeer
    ) -> Callable[[], None]:
        def tell() -> None:
            if other.core is core and not self.network.is_cut(other.peer, gone.peer):
                self.submit(other, LinkClosed(gone.peer, refused=gone.core is None))

        return tell

    def pause(self, peer: SimulatedPeer, duration_ns: int) -> None:
        """SIGSTOP for a while: nothing is read, no timer fires."""
        peer.paused_until = max(peer.paused_until, self.now + duration_ns)

    def submit(self, peer: SimulatedPeer, command: msgspec.Struct) -> Refused | None:
        """Gives a running peer a command; the refusal where it was refused."""
        assert peer.core is not None, f"{peer.name} is not running"
        try:
            peer.core.submit(command, self.clock())
        except Refused as refusal:
            return refusal
        self._settle(peer)
        return None

    # The driver, as the real one does it.

    def _settle(self, peer: SimulatedPeer) -> None:
        core = peer.core
        assert core is not None
        self._release(peer, core)
        self._commit(peer, core)
        due = core.deadline()
        if due is not None and (peer.woken_at is None or due < peer.woken_at):
            peer.woken_at = due
            self.at(due, lambda: self._wake(peer, core))

    def _commit(self, peer: SimulatedPeer, core: PeerCore) -> None:
        if peer.committing:
            return
        records = core.take_records()
        if not records:
            return
        peer.committing = True

        def committed() -> None:
            if peer.core is not core:
                return
            peer.disk.append(records)
            peer.committing = False
            core.recorded(records[-1].number)
            self._settle(peer)
            if len(peer.disk) > CHECKPOINT_RECORDS and not peer.committing:
                peer.disk.checkpoint(list(core.snapshot()))

        self.after(COMMIT_NS, committed)

    def _wake(self, peer: SimulatedPeer, core: PeerCore) -> None:
        if peer.core is not core:
            return
        if peer.paused_until > self.now:
            self.at(peer.paused_until, lambda: self._wake(peer, core))
            return
        peer.woken_at = None
        core.wake(self.clock())
        self._settle(peer)

    def _release(self, peer: SimulatedPeer, core: PeerCore) -> None:
        for outward in core.take_outward():
            if peer.core is not core:
                return
            self._trace(peer, outward)
            match outward:
                case Transmit():
                    self._transmit(peer, core, outward)
                case Notify(event):
                    for checker in self.checkers:
                        checker.event(self, peer, event)
                case Execute(job):
                    self._execute(peer, core, job)
                case Accuse():
                    for checker in self.checkers:
                        checker.event(self, peer, outward)

    def _trace(self, peer: SimulatedPeer, outward: Outward) -> None:
        self._digest.update(self.now.to_bytes(8, "big") + peer.name.encode())
        self._digest.update(msgspec.msgpack.encode(outward))

    def _transmit(self, peer: SimulatedPeer, core: PeerCore, outward: Transmit) -> None:
        target = self.by_id.get(outward.to)
        if target is None:
            return
        writer = peer.writers.get(outward.to)
        if writer is None:
            if target.core is None:
                if not self.network.is_cut(peer.peer, target.peer):
                    self.after(MICROSECOND_NS, self._link_broken(peer, core, target))
                return
            epoch = self.rng.getrandbits(62)
            writer = peer.writers[outward.to] = FrameWriter(epoch)
            self.after(0, lambda: self._opened(peer, core, target.peer, epoch))
        for frame in writer.frames(outward.messages):
            for instant in self.network.arrivals(peer.peer, target.peer, self.now):
                self.at(instant, self._arrival(peer, target, frame))

    def _opened(self, peer: SimulatedPeer, core: PeerCore, to: bytes, epoch: int) -> None:
        if peer.core is core:
            self.submit(peer, LinkOpened(to, epoch))

    def _arrival(
        self, sender: SimulatedPeer, target: SimulatedPeer, frame: bytes
    ) -> Callable[[], None]:
        def arrive() -> None:
            if target.core is None:
                return
            if target.paused_until > self.now:
                self.at(target.paused_until, arrive)
                return
            target.core.receive(sender.peer, frame, self.clock())
            self._settle(target)

        return arrive

    # Modelled workers.

    def _execute(self, peer: SimulatedPeer, core: PeerCore, job: Any) -> None:
        match job:
            case RunJobs():
                for one in job.jobs:
                    self._run_job(peer, core, one)
            case StopJobs():
                for custodian, task, attempt in job.jobs:
                    stopped = peer.jobs.pop((custodian, task, attempt), None)
                    if stopped is not None:
                        status = "timeout" if job.reason == "timeout" else "cancelled"
                        end = Outcome(task, attempt, status, msgspec.Raw(b""), 0, job.reason)
                        self.after(MICROSECOND_NS, self._ending(peer, core, custodian, end))
            case ResumeJobs():
                pass

    def _run_job(self, peer: SimulatedPeer, core: PeerCore, job: RunJob) -> None:
        key = (job.custodian, job.task, job.attempt)
        peer.jobs[key] = job
        drawn = outcome_of(job, peer.skills[job.skill], peer.speed, self._agents_rng)
        if drawn is None:
            return
        duration, outcome = drawn

        def ended() -> None:
            if peer.core is core and peer.paused_until > self.now:
                self.at(peer.paused_until, ended)
            elif peer.core is core and peer.jobs.pop(key, None) is not None:
                self._end(peer, core, job.custodian, outcome)

        self.after(duration, ended)

    def _ending(
        self, peer: SimulatedPeer, core: PeerCore, custodian: bytes, outcome: Outcome
    ) -> Callable[[], None]:
        return lambda: self._end(peer, core, custodian, outcome)

    def _end(self, peer: SimulatedPeer, core: PeerCore, custodian: bytes, outcome: Outcome) -> None:
        if peer.core is core:
            self.submit(peer, JobsEnded(((custodian, outcome),)))
