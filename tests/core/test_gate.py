"""The release gate: what waits for which record."""

import msgspec

from mesh.core.gate import Gate
from mesh.core.records import decode_entries
from protocols.effects import Effect, Emit, Persist, Send


class Said(msgspec.Struct, frozen=True, tag="test.said"):
    """A message, an event or a record."""

    text: str


def step(gate: Gate, *parts: tuple[str, Effect]) -> None:
    """One step in which these machines have these effects, in order."""
    for machine, effect in parts:
        gate.touch(machine)
        if isinstance(effect, Persist):
            gate.persist(machine, effect)
        else:
            gate.add(machine, effect, getattr(effect, "prompt", False))
    gate.end_step()


def send(text: str, prompt: bool = False) -> Send:
    return Send(b"x" * 32, Said(text), prompt)


def test_an_effect_without_a_record_leaves_at_once() -> None:
    gate = Gate()
    step(gate, ("tasks", send("hello")))
    assert gate.take_ready() == [send("hello")]
    assert gate.take_records() == ()


def test_an_effect_waits_for_the_record_of_its_step() -> None:
    gate = Gate()
    step(gate, ("tasks", send("before its record")), ("tasks", Persist(Said("accepted"))))
    (record,) = gate.take_records()
    assert gate.take_ready() == []
    gate.recorded(record.number)
    assert gate.take_ready() == [send("before its record")]


def test_all_that_a_step_persists_is_one_record() -> None:
    gate = Gate()
    step(gate, ("tasks", Persist(Said("a"))), ("auction", Persist(Said("b"), sync=True)))
    (record,) = gate.take_records()
    assert [entry.machine for entry in decode_entries(record.data)] == ["tasks", "auction"]
    assert record.sync


def test_a_later_effect_of_the_same_machine_waits_for_its_earlier_record() -> None:
    gate = Gate()
    step(gate, ("tasks", Persist(Said("a"))))
    step(gate, ("tasks", send("later")))
    assert gate.take_ready() == []
    gate.recorded(1)
    assert gate.take_ready() == [send("later")]


def test_another_machine_does_not_wait() -> None:
    gate = Gate()
    step(gate, ("tasks", Persist(Said("a"))))
    step(gate, ("gossip", send("rumour")))
    assert gate.take_ready() == [send("rumour")]


def test_a_machine_waits_for_the_record_of_the_machine_that_caused_it() -> None:
    gate = Gate()
    step(gate, ("auction", Persist(Said("award"))))
    step(gate, ("auction", Emit(Said("won"))), ("tasks", send("assign")))
    assert gate.take_ready() == []
    gate.recorded(1)
    assert gate.take_ready() == [Emit(Said("won")), send("assign")]


def test_a_probe_waits_for_nothing() -> None:
    gate = Gate()
    step(gate, ("gossip", Persist(Said("block"))), ("gossip", send("ping", prompt=True)))
    assert gate.take_ready() == [send("ping", prompt=True)]


def test_records_are_confirmed_up_to_a_number() -> None:
    gate = Gate()
    step(gate, ("tasks", Persist(Said("a"))), ("tasks", send("a")))
    step(gate, ("tasks", Persist(Said("b"))), ("tasks", send("b")))
    assert [record.number for record in gate.take_records()] == [1, 2]
    gate.recorded(1)
    assert gate.take_ready() == [send("a")]
    assert gate.has_pending_records
    gate.recorded(2)
    assert gate.take_ready() == [send("b")]
    assert not gate.has_pending_records
