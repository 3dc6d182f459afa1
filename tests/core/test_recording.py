"""The flight recorder without I/O: what was recorded is replayed to the same state."""

import contextlib
from pathlib import Path

import msgspec
import pytest

from mesh.core.image import NotAnImage, state_digest, thaw
from mesh.core.recorded_core import IMAGE_SHARE, RESUME_NS, Tape
from mesh.core.recording import FORMAT, MAGIC, Opening, framed, read_blocks
from protocols.errors import Refused
from protocols.machine import Now
from protocols.tasks.commands import Drain, SubmitTasks, TaskSpec
from protocols.wire import encode
from simulations.answers import Diverged
from simulations.reexecute import Moment, NotReplayable, is_recording, reexecute
from tests.core.flight import INPUT, Flight

SMALL = 360_000
"""A limit that makes a few dozen tasks fill several segments."""


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.rec"))


def test_a_replay_comes_to_the_same_state(tmp_path: Path) -> None:
    flight = Flight(tmp_path)
    flight.run(20)
    flight.core.close(in_order=True)
    replayed = reexecute(tmp_path)
    assert replayed.ending == "closed"
    assert replayed.state == state_digest(flight.inner)
    assert replayed.inputs > 40
    assert flight.told == []


def test_a_replay_goes_on_from_segment_to_segment(tmp_path: Path) -> None:
    flight = Flight(tmp_path, SMALL)
    flight.run(120)
    flight.core.close(in_order=True)
    assert len(segments(tmp_path)) > 2
    whole = reexecute(tmp_path)
    assert whole.segments == len(segments(tmp_path))
    assert whole.state == state_digest(flight.inner)


def test_the_last_segments_are_enough(tmp_path: Path) -> None:
    flight = Flight(tmp_path, SMALL)
    flight.run(120)
    flight.core.close(in_order=True)
    for path in segments(tmp_path)[:-2]:
        path.unlink()
    replayed = reexecute(tmp_path)
    assert replayed.segments == 2
    assert replayed.state == state_digest(flight.inner)


def test_a_segment_can_be_replayed_alone(tmp_path: Path) -> None:
    flight = Flight(tmp_path, SMALL)
    flight.run(120)
    links = [reexecute(path).digest for path in segments(tmp_path)]
    assert links[-1] == reexecute(tmp_path).digest
    assert len(set(links)) == len(links)


def test_what_a_peer_refused_is_refused_again(tmp_path: Path) -> None:
    flight = Flight(tmp_path)
    with pytest.raises(Refused):
        flight.core.submit(SubmitTasks(1, (TaskSpec("unheard", INPUT),)), flight.now)
    flight.run(1)
    flight.core.close(in_order=True)
    moments: list[Moment] = []
    reexecute(tmp_path, watch=lambda moment, core: moments.append(moment))
    assert sum("unheard" in moment.refused for moment in moments) == 1
    assert [moment.number for moment in moments] == list(range(1, len(moments) + 1))
    assert any(moment.sent for moment in moments)


def test_a_value_as_deep_as_a_client_may_send_is_read_back(tmp_path: Path) -> None:
    flight = Flight(tmp_path)
    deep = b"\x91" * 900 + b"\xc0"
    frame = b"\x94\x01" + deep
    with pytest.raises(Refused):
        flight.core.submit(SubmitTasks(1, (TaskSpec("echo", msgspec.Raw(deep)),)), flight.now)
    flight.core.receive(b"s" * 32, frame, flight.now)
    flight.run(1)
    flight.core.close(in_order=True)
    assert reexecute(tmp_path).state == state_digest(flight.inner)


def test_a_core_that_raised_raises_again(tmp_path: Path) -> None:
    flight = Flight(tmp_path)
    flight.run(3)
    with pytest.raises(AssertionError, match="never made"):
        flight.core.recorded(10_000)
    flight.core.close(in_order=False)
    replayed = reexecute(tmp_path)
    assert replayed.ending == "raised"
    assert "never made" in replayed.error


def test_a_recording_that_was_cut_replays_to_its_last_whole_block(tmp_path: Path) -> None:
    flight = Flight(tmp_path)
    flight.run(10)
    (path,) = segments(tmp_path)
    data = path.read_bytes()
    whole = reexecute(path)
    path.write_bytes(data[:-1])
    cut = reexecute(path)
    assert cut.ending == whole.ending == "cut"
    assert cut.digest != whole.digest
    assert 0 < whole.inputs - cut.inputs < 5


def test_cut_anywhere_it_replays_or_is_refused(tmp_path: Path) -> None:
    flight = Flight(tmp_path)
    flight.run(3)
    (path,) = segments(tmp_path)
    data = path.read_bytes()
    inputs = []
    for size in range(0, len(data), 997):
        path.write_bytes(data[:size])
        with contextlib.suppress(NotReplayable):
            inputs.append(reexecute(path).inputs)
    assert inputs == sorted(inputs)
    assert inputs[-1] > 0


def test_a_damaged_block_is_named(tmp_path: Path) -> None:
    flight = Flight(tmp_path)
    flight.run(10)
    (path,) = segments(tmp_path)
    data = bytearray(path.read_bytes())
    data[-700] ^= 1
    path.write_bytes(data)
    with pytest.raises(NotReplayable, match=r"block [0-9]+ at byte [0-9]+ is damaged"):
        reexecute(path)


def test_what_is_no_recording_is_told(tmp_path: Path) -> None:
    foreign = tmp_path / "holiday.jpg"
    foreign.write_bytes(b"\xff\xd8\xff\xe0 and so on")
    assert not is_recording(foreign)
    with pytest.raises(NotReplayable, match=r"holiday.jpg: it is not a recording"):
        reexecute(foreign)
    with pytest.raises(NotReplayable, match="no segments"):
        reexecute(tmp_path)
    with pytest.raises(NotReplayable, match="cannot read"):
        reexecute(tmp_path / "missing.rec")


def test_a_newer_format_is_told(tmp_path: Path) -> None:
    flight = Flight(tmp_path)
    (path,) = segments(tmp_path)
    opening = next(read_blocks(memoryview(path.read_bytes())))
    assert isinstance(opening, Opening)
    newer = msgspec.structs.replace(opening, format=FORMAT + 1)
    path.write_bytes(MAGIC + framed(0, encode(newer)))
    with pytest.raises(NotReplayable, match=r"format 2, and this release reads 1.*1\.2\.3"):
        reexecute(path)
    assert flight.told == []


def test_another_start_is_chosen_by_its_number(tmp_path: Path) -> None:
    for boot in (1, 2):
        flight = Flight(tmp_path, boot=boot)
        flight.run(boot)
        flight.core.close(in_order=True)
    assert reexecute(tmp_path).boot == 2
    assert reexecute(tmp_path, boot=1).boot == 1
    with pytest.raises(NotReplayable, match="boots 1, 2, not 3"):
        reexecute(tmp_path, boot=3)


def test_a_core_that_does_something_else_is_noticed(tmp_path: Path) -> None:
    flight = Flight(tmp_path)
    flight.run(3)
    # Told behind the recorder's back, as a bug or another release would do something else.
    flight.inner.submit(Drain(), flight.now)
    for _ in range(5):
        flight.round()
    with pytest.raises(Diverged, match="sent something else"):
        reexecute(tmp_path)


def test_a_state_that_was_not_come_to_is_noticed(tmp_path: Path) -> None:
    flight = Flight(tmp_path)
    flight.run(3)
    flight.inner.hosted_skills()
    flight.inner.tasks.submit(Drain(), flight.now)
    flight.core.close(in_order=True)
    with pytest.raises(Diverged, match="another state"):
        reexecute(tmp_path)


def test_keys_are_in_no_recording(tmp_path: Path) -> None:
    flight = Flight(tmp_path)
    flight.run(3)
    flight.core.close(in_order=True)
    for path in segments(tmp_path):
        data = path.read_bytes()
        assert bytes([7]) * 32 not in data
        assert b"x" * 200 in data, "payloads are"


def test_a_disk_that_refuses_ends_the_recording_and_not_the_peer(tmp_path: Path) -> None:
    flight = Flight(tmp_path)
    flight.run(3)
    flight.files.failure = "the disk is full"
    flight.run(3)
    assert flight.told == ["the disk is full"]
    assert flight.settled == 6


def test_a_recording_is_begun_anew_after_a_while(tmp_path: Path) -> None:
    flight = Flight(tmp_path)
    flight.run(3)
    flight.files.failure = "the disk is full"
    flight.run(3)
    flight.files.failure = ""
    flight.now = Now(flight.now.monotonic_ns + RESUME_NS, flight.now.wall_ns + RESUME_NS)
    flight.run(3)
    assert flight.told == ["the disk is full", ""]
    flight.core.close(in_order=True)
    assert [path.name for path in segments(tmp_path)] == [
        "000001-000001.rec",
        "000001-000003.rec",
        "000001-000004.rec",
    ]
    replayed = reexecute(tmp_path)
    assert replayed.segments == 2, "what came before the gap is another story"
    assert replayed.state == state_digest(flight.inner)


def test_a_state_too_large_for_its_limit_is_not_recorded(tmp_path: Path) -> None:
    flight = Flight(tmp_path, limit=IMAGE_SHARE * 1000)
    flight.run(3)
    assert flight.settled == 3
    (reason,) = flight.told
    assert "too many for a recording of 4000" in reason
    assert segments(tmp_path) == []


@pytest.mark.parametrize(
    "hostile",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cbuiltins\ngetattr\n(cmesh.core.peer\nPeerCore\nS'__init__'\ntR.",
        b"cmesh.core.image\nsys\n.",
        b"cmesh.core.peer\nrandom\n.",
        b"cprotocols.errors\nMeshError\n.",
        b"not a pickle",
        b"",
    ],
)
def test_an_image_makes_nothing_but_a_core(hostile: bytes) -> None:
    with pytest.raises(NotAnImage):
        thaw(hostile, {})


def pushed(text: str) -> bytes:
    return b"X" + len(text).to_bytes(4, "little") + text.encode()


def named(module: str, name: str) -> bytes:
    return pushed(module) + pushed(name) + b"\x93"


def test_an_image_changes_no_class() -> None:
    before = dict(vars(Tape))
    # A pickle may set attributes of whatever it holds: here `__eq__` and `hidden`.
    changes = pushed("__eq__") + named("builtins", "set") + pushed("hidden") + b"\x88"
    hostile = named("mesh.core.recorded_core", "Tape") + b"N}(" + changes + b"u\x86b"
    with pytest.raises(NotAnImage, match="changes Tape"):
        thaw(b"\x80\x05" + hostile + b".", {})
    assert dict(vars(Tape)) == before


def test_an_image_cannot_tell_what_finds_classes_which_to_find() -> None:
    # One that is built within could be asked for any class of any module.
    finder = named("mesh.core.image", "_Thawing") + b")\x81"
    method = named("builtins", "getattr") + finder + pushed("find_class") + b"\x86R"
    with pytest.raises(NotAnImage, match="it names mesh"):
        thaw(b"\x80\x05" + method + b".", {})
