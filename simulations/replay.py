"""Replays, as a stream of trace entries: a saved plan, or the recording of a real peer.

Both give the entries of `trace.py`, so that the same filters and words serve
for a whole simulated mesh and for one peer of a real one.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from mesh.core.outward import Notify
from mesh.core.peer import PeerCore
from mesh.core.recording import Received, Woken
from protocols.gossip.events import MemberUp
from simulations.outcome import Outcome, execute
from simulations.plan import Plan
from simulations.reexecute import Moment, Reexecuted, reexecute
from simulations.trace import FrameArrived, TraceEntry, Tracer, Wanted, Words, kind_of

Show = Callable[[TraceEntry, Words], None]
"""What is done with each entry that is wanted."""


def replay_plan(plan: Plan, wanted: Wanted, show: Show) -> Outcome:
    """Executes a plan, and shows what is wanted of its trace."""

    def listen(names: dict[bytes, str]) -> Tracer:
        words = Words(names)

        def hear(entry: TraceEntry) -> None:
            if wanted.passes(entry):
                show(entry, words)

        return hear

    return execute(plan, listen)


def replay_recording(path: Path, boot: int | None, wanted: Wanted, show: Show) -> Reexecuted:
    """Executes a recorded core again, and shows what is wanted of what it was told and sent.

    Times count from the first thing that it was told.

    Raises:
        NotReplayable: there is nothing to replay, or no more of it.
        Diverged: the core did something else than the recorded one.
    """
    names: dict[bytes, str] = {}
    words = Words(names)
    begun: list[int] = []

    def watch(moment: Moment, core: PeerCore) -> None:
        if not begun:
            begun.append(moment.at.monotonic_ns)
            names.update((member.peer, member.name) for member in core.gossip.members())
        myself = core.gossip.myself()
        if core.peer not in names and myself is not None:
            names[core.peer] = myself.name
        for effect in moment.sent:
            if isinstance(effect, Notify) and isinstance(effect.event, MemberUp):
                names[effect.event.peer] = effect.event.name
        at_ns = moment.at.monotonic_ns - begun[0]
        for entry in _entries(moment, at_ns, words.peer(core.peer)):
            if wanted.passes(entry):
                show(entry, words)

    return reexecute(path, boot, watch)


def _entries(moment: Moment, at_ns: int, peer: str) -> Iterator[TraceEntry]:
    match moment.told:
        case None:
            pass
        case Woken():
            yield TraceEntry(at_ns, peer, "wake")
        case Received(_, _, link, frame):
            yield TraceEntry(at_ns, peer, "frame", FrameArrived(link, frame))
        case command:
            yield TraceEntry(at_ns, peer, "command", command)
    for effect in moment.sent:
        yield TraceEntry(at_ns, peer, kind_of(effect), effect)
