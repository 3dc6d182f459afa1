"""One simulated peer: a production core, driven as the real driver drives it.

Its identity, disk and clocks survive a crash; its core, links and agents do not.
"""

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from mesh.core.commands import Announce, LinkClosed, LinkOpened
from mesh.core.framing import FrameWriter
from mesh.core.outward import Accuse, Execute, Notify, Outward, Transmit
from mesh.core.peer import PeerCore
from mesh.core.records import StepRecord
from mesh.core.schemas import compile_schema
from protocols.credentials import NO_CURVE
from protocols.errors import Refused, StorageCorrupt
from protocols.gossip.commands import Contact, Join
from protocols.identity import Keyring
from protocols.machine import MICROSECOND_NS, MILLISECOND_NS, SECOND_NS, Instant, Now
from protocols.tasks.commands import HostSkills
from protocols.voting.ballot_commands import AskVoter
from simulations.adversary import Adversary
from simulations.agents import Executor, HostedSkill
from simulations.blob_files import BLOB_JOBS, BlobFiles
from simulations.clock import SKEW_MOST_NS, Clocks
from simulations.disk import Disk
from simulations.observations import DiskForgot, PeerStarted, PeerStopped
from simulations.trace import FrameArrived, RecordsWritten, kind_of

if TYPE_CHECKING:
    from simulations.world import World

COMMIT_NS = 100 * MICROSECOND_NS
"""How long a group commit takes; records of steps made meanwhile wait for the next."""
SLOW_COMMITS = 0.05
SLOW_COMMIT_NS = 4 * MILLISECOND_NS
NOTICED_NS = 5 * MILLISECOND_NS
"""How long it takes at most to notice that the other end of a link is gone."""
WATCHDOG_NS = 10 * SECOND_NS
"""A process whose disk does not answer for so long ends itself; see `mesh/storage/watchdog.py`."""
CHECKPOINT_RECORDS = 400
JOIN_CONTACTS = 3


class SimulatedPeer:
    """One peer: its identity and disk, which survive, and its core, which does not.

    Attributes:
        fuse: where set, how many more effects leave before this process dies.
        fuse_why: what it then dies of.
        starts: how many processes it had. A restored disk's boot counter repeats; this does not.
        liar: what bends this peer's messages, where it is an adversary.
    """

    def __init__(self, world: "World", name: str, keyring: Keyring, credential: bytes) -> None:
        """A peer that has never been started."""
        self._world = world
        self.name = name
        self.keyring = keyring
        self.credential = credential
        self.peer = keyring.peer
        self.door = f"sim://{name}"
        self.disk = Disk()
        self.blobs = BlobFiles()
        self.core: PeerCore | None = None
        self.paused_until: Instant = 0
        self.speed = 1.0
        self.skills: tuple[HostedSkill, ...] = ()
        self.sick: tuple[tuple[str, str], ...] = ()
        self.labels: tuple[str, ...] = ()
        self.liar: Adversary | None = None
        self.fuse: int | None = None
        self.fuse_why = "crash"
        self.steps = 0
        self.starts = 0
        self.links: dict[bytes, FrameWriter] = {}
        self.workers: Executor | None = None
        self.clocks = Clocks(world.rng.randint(-SKEW_MOST_NS, SKEW_MOST_NS))
        self._group: tuple[StepRecord, ...] = ()
        self._wake_at: Instant | None = None
        self._timed: Instant | None = None
        """The deadline that `_wake_at` was last found for, by the clocks as they run now."""

    @property
    def is_running(self) -> bool:
        """Whether there is a process, and it is not stopped."""
        return self.core is not None and self.paused_until <= self._world.now

    def clock(self) -> Now:
        """What this peer's clocks say. Nobody's wall clock agrees with anybody's."""
        return self.clocks.at(self._world.now)

    # Its process.

    def start(self, skills: tuple[HostedSkill, ...] | None = None) -> None:
        """Starts it, or starts it again from its disk."""
        assert self.core is None, f"{self.name} is running"
        world = self._world
        core = self.core = PeerCore(
            world.settings,
            self.keyring,
            self.credential,
            world.root,
            self.disk.next_boot(),
            random.Random(world.rng.getrandbits(64)),
            world.entropy,
            compile_schema,
        )
        if skills is not None:
            self.skills = skills
        self.links.clear()
        self.workers = world.make_executor(world, self, random.Random(world.rng.getrandbits(64)))
        self._group = ()
        self._wake_at = None
        self.fuse = None
        self.starts += 1
        world.observe(self, PeerStarted(self.disk.boot))
        self.forgot(self.disk.recover())
        try:
            core.restore(self.disk, self.clock())
        except StorageCorrupt:
            # It refuses to start, whoever tries; all that it kept is lost to the mesh.
            world.coverage["a damaged journal: the peer refuses to start"] += 1
            self.forgot(0)
            self.stop("corrupt")
            return
        self.blobs.keep_only([blob for blob, _, _ in core.blobs.listed()])
        self.submit(Announce(self.name, self.door))
        self.sick = ()
        self.host()
        others = [other for other in world.peers if other is not self]
        contacts = tuple(Contact(o.peer, o.door, NO_CURVE) for o in others[:JOIN_CONTACTS])
        self.submit(Join(contacts))
        if self.core is core:
            core.wake(self.clock())
            self._settle(core)

    def host(self) -> None:
        """Tells the core what its agents offer, and whether they can work."""
        skills = tuple((s.spec(), s.slots) for s in self.skills)
        self.submit(HostSkills(skills, self.sick, self.labels))

    def stop(self, why: str = "crash") -> None:
        """Kill -9: what was not written is lost, and so is everything in memory.

        Of a group that is being written, a prefix is there afterwards; where the power
        fails, nothing of it, and what was written and not synced may be lost as well.
        """
        world = self._world
        if self.core is None:
            return
        if self._group and why != "power":
            kept = world.faults_rng.randint(0, len(self._group))
            if kept < len(self._group) and len(self._group) > 1:
                world.coverage["crash between records"] += 1
            self.disk.append(self._group[:kept], world.now)
        if self.workers is not None and self.workers.handlings:
            world.coverage["crash with handlers running"] += 1
        if self.core.tasks.undecided:
            world.coverage["crash with tasks undecided"] += 1
        self.core = None
        self.workers = None
        world.observe(self, PeerStopped(why))
        if why == "power":
            self.forgot(self.disk.lose_power(world.faults_rng), is_synced=False)
            self.blobs.lose_power(world.faults_rng)
        for other in world.peers:
            if other.core is not None and other.links.pop(self.peer, None) is not None:
                # Some notice only after a quick restart.
                world.after(world.faults_rng.randint(1, NOTICED_NS), other.link_broken(self))

    def forgot(self, since: Instant | None, is_synced: bool = True) -> None:
        """Its disk holds nothing any more of what was written since then."""
        if since is not None:
            self._world.coverage["a disk forgets what it held"] += 1
            self._world.observe(self, DiskForgot(since, is_synced))

    def clocks_changed(self) -> None:
        """Its timers are set anew, by the clocks as they run now."""
        self._timed = None
        if self.core is not None and self.is_running:
            self._wake_at = None
            self._settle(self.core)

    def link_broken(self, gone: "SimulatedPeer") -> Callable[[], None]:
        """A link to `gone` broke; a redial shows whether anybody listens there."""
        core = self.core

        def tell() -> None:
            if self.core is not core or core is None:
                return
            if self.paused_until > self._world.now:
                self._world.at(self.paused_until, tell)
            elif gone.peer not in self.links:
                is_cut = self._world.network.is_cut(self.peer, gone.peer)
                contact = core.gossip.contact(gone.peer)
                moved = contact is not None and contact.door != gone.door
                self.submit(LinkClosed(gone.peer, (gone.core is None or moved) and not is_cut))

        return tell

    # The driver, as the real one does it.

    def submit(self, command: msgspec.Struct) -> Refused | None:
        """Gives the running core a command; the refusal where it was refused."""
        core = self.core
        assert core is not None, f"{self.name} is not running"
        self.steps += 1
        if self._world.tracer is not None:
            self._world.note(self.name, "command", command)
        try:
            core.submit(command, self.clock())
        except Refused as refusal:
            return refusal
        self._settle(core)
        return None

    def receive(self, sender: bytes, frame: bytes) -> None:
        """A frame arrives; a stopped process reads it when it goes on."""
        core, world = self.core, self._world
        if core is None:
            return
        now = world.now
        if self.paused_until > now:
            world.at(self.paused_until, lambda: self.receive(sender, frame))
            return
        self.steps += 1
        if world.tracer is not None:
            world.note(self.name, "frame", FrameArrived(sender, frame))
        if self.liar is not None:
            self.liar.received(world, self, sender, frame)
        core.receive(sender, frame, self.clocks.at(now))
        self._settle(core)

    def _wake(self, core: PeerCore, due: Instant) -> None:
        if self.core is not core or self._wake_at != due:
            return
        if self.paused_until > self._world.now:
            until = self._wake_at = self.paused_until
            self._timed = None
            self._world.at(until, lambda: self._wake(core, until))
            return
        self._wake_at = None
        deadline = core.deadline()
        if deadline is None or self.clocks.when(deadline) > self._world.now:
            # What was due is not any more; a real driver would not have woken the core.
            self._settle(core)
            return
        self.steps += 1
        if self._world.tracer is not None:
            self._world.note(self.name, "wake")
        core.wake(self.clock())
        self._settle(core)

    def _settle(self, core: PeerCore) -> None:
        world = self._world
        released = core.take_outward()
        if released:
            self._release(core, released)
            if self.core is not core:
                return
        if not self._group:
            group = core.take_records()
            if group:
                self._commit(core, group)
        deadline, wake_at = core.deadline(), self._wake_at
        if deadline is None or (wake_at is not None and deadline == self._timed):
            return
        self._timed = deadline
        due = max(self.clocks.when(deadline), world.now)
        if wake_at is None or due < wake_at:
            self._wake_at = due
            world.at(due, partial(self._wake, core, due))

    def _commit(self, core: PeerCore, group: tuple[StepRecord, ...]) -> None:
        self._group = group

        def committed() -> None:
            if self.core is not core:
                return
            self._group = ()
            if not self.disk.append(group, self._world.now):
                self._world.coverage["a disk fills up"] += 1
                self.stop("disk-full")
                return
            if self._world.tracer is not None:
                size, newest = sum(len(record.data) for record in group), group[-1].number
                self._world.note(self.name, "disk", RecordsWritten(len(group), newest, size))
            core.recorded(group[-1].number)
            self._settle(core)
            is_current = self.core is core
            if is_current and len(self.disk) > CHECKPOINT_RECORDS and not core.has_pending_records:
                self._world.coverage["checkpoint"] += 1
                self.disk.checkpoint(list(core.snapshot()), self._world.now)

        # Now and then a disk is slow, and several records wait for one group.
        is_slow = self._world.rng.random() < SLOW_COMMITS
        delay = (SLOW_COMMIT_NS if is_slow else COMMIT_NS) + self.disk.slow_ns
        if self.disk.stuck_for_ns:
            delay = self._hang(core)
        self._world.after(delay, committed)

    def _hang(self, core: PeerCore) -> int:
        """The disk does not answer, and its process waits for it until the watchdog ends it."""
        world = self._world
        stuck, self.disk.stuck_for_ns = self.disk.stuck_for_ns, 0
        world.coverage["a disk hangs"] += 1
        self.paused_until = max(self.paused_until, world.now + min(stuck, WATCHDOG_NS))

        def give_up() -> None:
            if self.core is core:
                self.stop("disk-hangs")

        if stuck >= WATCHDOG_NS:
            world.after(WATCHDOG_NS, give_up)
        return stuck

    def _release(self, core: PeerCore, released: list[Outward]) -> None:
        world = self._world
        is_whole = self.fuse is None
        if is_whole:
            world.trace(self, released)
        for outward in released:
            if self.fuse is not None:
                if self.fuse <= 0:
                    world.coverage["crash between effects"] += 1
                    self.stop(self.fuse_why)
                else:
                    self.fuse -= 1
            if self.core is not core:
                return
            if not is_whole:
                world.trace(self, (outward,))
            if world.tracer is not None:
                world.note(self.name, kind_of(outward), outward)
            match outward:
                case Transmit():
                    world.overhear(self, outward.to, outward.messages)
                    self.transmit(core, outward.to, outward.messages)
                case Notify():
                    world.observe(self, outward.event)
                    if self.workers is not None:
                        self.workers.hear(outward.event)
                case Execute() if isinstance(outward.job, BLOB_JOBS):
                    self.blobs.take(world, self, core, outward.job)
                case Execute() if isinstance(outward.job, AskVoter):
                    world.observe(self, outward.job)
                case Execute():
                    if self.workers is not None:
                        self.workers.execute(outward.job)
                case Accuse():
                    world.observe(self, outward)

    # Its links.

    def transmit(self, core: PeerCore, to: bytes, messages: tuple[bytes, ...]) -> None:
        """Puts messages on the link to a peer, and opens one where there is none."""
        world = self._world
        target = world.by_id.get(to)
        if target is None:
            return
        if self.liar is not None:
            messages = self.liar.sending(world, self, to, messages)
        writer = self.links.get(to) or self._dial(core, target)
        if writer is not None:
            for frame in writer.frames(messages):
                world.deliver(self, target, frame)

    def _dial(self, core: PeerCore, target: "SimulatedPeer") -> FrameWriter | None:
        world = self._world
        contact = core.gossip.contact(target.peer)
        is_cut = world.network.is_cut(self.peer, target.peer)
        if contact is None or is_cut or world.network.is_cut(target.peer, self.peer):
            world.coverage["a frame without a link"] += 1
            return None
        if target.core is None or contact.door != target.door:
            world.coverage["a dial is refused"] += 1
            world.after(MICROSECOND_NS, self.link_broken(target))
            return None
        epoch = world.rng.getrandbits(62)
        writer = self.links[target.peer] = FrameWriter(epoch)

        def opened() -> None:
            if self.core is core and self.links.get(target.peer) is writer:
                self.submit(LinkOpened(target.peer, epoch))

        world.after(0, opened)
        return writer
