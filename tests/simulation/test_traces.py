"""Traces and the stories told from them: what is heard, in which words, and at no cost."""

import msgspec
import pytest

from mesh.core.framing import FrameWriter
from mesh.core.outward import Notify, Transmit
from protocols.gossip.events import MemberDown, MemberUp
from protocols.gossip.messages import Ping
from protocols.tasks.events import Settled, TasksAccepted, TasksSettled
from protocols.wire import encode
from simulations.charts import packed, ticks
from simulations.load import Load
from simulations.observations import JobFinished, JobHanded, PeerStarted, PeerStopped
from simulations.outcome import execute
from simulations.plan import draw
from simulations.scenario import Scenario
from simulations.schedule import Pause, Slow
from simulations.story import BIN_S, Story, protocol_of
from simulations.trace import KINDS, FrameArrived, Kind, TraceEntry, Tracer, Wanted, Words

ONE, TWO = bytes(31) + b"1", bytes(31) + b"2"
NAMES = {ONE: "peer-1", TWO: "peer-2"}
SECOND = 1_000_000_000


def test_listening_changes_nothing(run_seed: int) -> None:
    plan = draw(
        Scenario(
            name="heard",
            peers=3,
            duration_s=2,
            load=Load(submissions=10),
            faults=(Pause(at_ms=200), Slow(at_ms=100)),
        ),
        run_seed,
    )
    kinds: set[str] = set()

    def listen(names: dict[bytes, str]) -> Tracer:
        words = Words(names)

        def hear(entry: TraceEntry) -> None:
            kinds.add(entry.kind)
            assert words.line(entry)

        return hear

    assert execute(plan, listen).digest == execute(plan).digest
    assert kinds == set(KINDS) - {"accuse", "network"}


def entry(
    detail: msgspec.Struct | None, kind: Kind = "event", at_s: float = 1, peer: str = "peer-1"
) -> TraceEntry:
    return TraceEntry(int(at_s * SECOND), peer, kind, detail)


def test_frames_are_decoded_and_peers_named() -> None:
    [frame] = FrameWriter(1).frames((encode(Ping(7, 0)), encode([1]), encode(Ping(8, 5))))
    line = Words(NAMES).line(entry(FrameArrived(TWO, frame), "frame"))
    when, peer, kind, text = line.split(maxsplit=3)
    assert (when, peer, kind) == ("1.000000", "peer-1", "frame")
    assert text == (
        "← peer-2: Ping(nonce=7, load=0); 2 bytes that are no message; Ping(nonce=8, load=5)"
    )
    rubbish = Words(NAMES).text(entry(FrameArrived(bytes(32), b"rubbish"), "frame"))
    assert rubbish == "← 00000000: 7 bytes that are no frame"


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        (Wanted(), True),
        (Wanted(peers=("peer-1",)), True),
        (Wanted(peers=("peer-2",)), False),
        (Wanted(kinds=("event", "send")), True),
        (Wanted(kinds=("send",)), False),
        (Wanted(tasks=("other", "t-17")), True),
        (Wanted(tasks=("other",)), False),
        (Wanted(from_ns=SECOND), True),
        (Wanted(from_ns=SECOND + 1), False),
        (Wanted(until_ns=SECOND), True),
        (Wanted(until_ns=SECOND - 1), False),
    ],
)
def test_only_what_is_wanted_passes(wanted: Wanted, passes: bool) -> None:
    assert wanted.passes(entry(Notify(TasksAccepted(1, ("t-17",), "work", "")))) is passes


def test_what_befalls_the_whole_mesh_befalls_each_peer() -> None:
    assert Wanted(peers=("peer-2",)).passes(entry(Pause(at_ms=1), "fault", peer=""))


def told(*entries: TraceEntry) -> Story:
    story = Story(NAMES, duration_s=10)
    for each in entries:
        story.hear(each)
    story.close()
    return story


def started(peer: str, at_s: float = 1) -> TraceEntry:
    return entry(PeerStarted(1), "world", at_s, peer)


def test_a_story_tells_who_saw_whom_how_and_how_soon_an_end_was_noticed() -> None:
    story = told(
        started("peer-1"),
        started("peer-2"),
        entry(Notify(MemberUp(TWO, "peer-2", "door", 1, 1, ())), at_s=2),
        entry(PeerStopped("crash"), "world", 5, "peer-2"),
        entry(Notify(MemberDown(TWO, "peer-2", 1, "dead")), at_s=7.5),
        entry(None, "wake", 9),
    )
    views = story.views["peer-2", "peer-1"]
    assert [(v.begin, v.end, v.state) for v in views] == [(2, 7.5, "alive"), (7.5, 9, "dead")]
    assert [(p.begin, p.end, p.state) for p in story.processes["peer-2"]] == [
        (1, 5, "up"),
        (5, 9, "down"),
    ]
    [found] = story.detections
    assert (found.subject, found.observer, found.verdict, found.seconds) == (
        "peer-2",
        "peer-1",
        "dead",
        2.5,
    )
    assert story.mistaken == 0


def test_a_death_of_somebody_who_runs_is_a_mistake() -> None:
    story = told(
        started("peer-1"),
        started("peer-2"),
        entry(Notify(MemberDown(TWO, "peer-2", 1, "dead")), at_s=3),
    )
    assert (story.mistaken, story.detections) == (1, [])


def test_a_story_tells_which_attempts_ran_where() -> None:
    raw = msgspec.Raw(b"\xc0")
    settled = Settled("t", "done", raw, "", "", 2, False, TWO, -1, 0)
    story = told(
        started("peer-1"),
        started("peer-2"),
        entry(Notify(TasksAccepted(1, ("t",), "work", "")), at_s=2),
        entry(JobHanded(ONE, "t", 1, "work"), "world", 3, "peer-1"),
        entry(PeerStopped("crash"), "world", 4, "peer-1"),
        entry(JobHanded(ONE, "t", 2, "work"), "world", 5, "peer-2"),
        entry(JobFinished(ONE, "t", 2, "ok"), "world", 6, "peer-2"),
        entry(Notify(TasksSettled((settled,))), at_s=7),
    )
    [task] = story.tasks.values()
    assert [(a.peer, a.begin, a.end, a.status) for a in task.attempts] == [
        ("peer-1", 3, 4, "lost"),
        ("peer-2", 5, 6, "ok"),
    ]
    assert (task.accepted, task.ended, task.state) == (2, 7, "done")


def test_a_fault_without_an_end_lasts_until_peace() -> None:
    story = told(
        entry(Slow(at_ms=2_000), "fault", 6),
        entry(Pause(at_ms=3_000, for_ms=500), "fault", 7),
    )
    assert [(struck.kind, struck.lasts) for struck in story.faults] == [("slow", 8), ("pause", 0.5)]


def test_messages_are_counted_by_protocol() -> None:
    ping = encode(Ping(7, 0))
    story = told(entry(Transmit(TWO, (ping, ping)), "send", 2))
    assert story.messages["gossip"] == {int(2 / BIN_S): 2}
    assert story.bytes["gossip"] == {int(2 / BIN_S): 2 * len(ping)}
    assert story.sent["peer-1"] == 2 * len(ping)
    assert protocol_of(b"nothing known") == "other"


def test_bars_that_overlap_get_rows_of_their_own() -> None:
    assert packed([(0, 5), (1, 2), (3, 4), (5, 6)], 9) == [0, 1, 1, 0]
    assert packed([(0, 9), (0, 5), (0, 7)], 2) == [0, 1, 1]


def test_axes_have_round_numbers() -> None:
    assert ticks(0, 10, 5) == [0, 2, 4, 6, 8, 10]
    assert ticks(0.13, 0.44, 4) == [0.2, 0.3, 0.4]
