"""Whoever is turned away for long gets a part of what others hold."""

from protocols.auction.commands import ReleaseSlots
from protocols.auction.events import SlotsRecalled
from protocols.auction.messages import Recall
from protocols.auction.parameters import TENURE_NS
from protocols.machine import MILLISECOND_NS
from tests.protocols.auction.mesh import SKILL, Mesh

TENURE_MS = TENURE_NS // MILLISECOND_NS


def recalls(mesh: Mesh) -> list[tuple[str, int, int]]:
    return [(to, m.slots, m.held) for _, to, m in mesh.sent if isinstance(m, Recall)]


def give_back(mesh: Mesh, *names: str) -> None:
    """These issuers' tasks end as soon as they are called for."""
    for name in names:
        peer = mesh[name]
        for event in [event for event in peer.events if isinstance(event, SlotsRecalled)]:
            peer.events.remove(event)
            peer.held[(event.lot, event.bidder)] -= event.slots
            mesh.submit(name, ReleaseSlots(event.lot, event.bidder, event.slots))
    mesh.settle()


def pass_time(mesh: Mesh, milliseconds: int, *names: str) -> None:
    for _ in range(0, milliseconds, 10):
        mesh.advance(10)
        give_back(mesh, *names)


def hoarding(*hosts: str, slots: int = 1, units: int = 100) -> Mesh:
    """Issuer a holds all slots of the hosts, and issuer b wants as many."""
    mesh = Mesh("a", "b", *hosts)
    mesh.host(slots, *hosts)
    mesh.seek("a", units)
    mesh.settle()
    assert mesh["a"].slots == slots * len(hosts)
    mesh.seek("b", units)
    mesh.settle()
    return mesh


def test_a_hoarder_is_asked_for_slots_when_somebody_has_waited_for_a_tenure() -> None:
    mesh = hoarding("c")
    mesh.advance(TENURE_MS - 20)
    assert recalls(mesh) == []
    mesh.advance(400)
    assert recalls(mesh)[0] == ("a", 1, 0)


def test_two_issuers_share_the_slots_of_several_bidders_evenly_and_stay_so() -> None:
    mesh = hoarding("c", "d", "e", "f")
    pass_time(mesh, 1_500, "a", "b")
    assert (mesh["a"].slots, mesh["b"].slots) == (2, 2)
    before = len(recalls(mesh))
    pass_time(mesh, 10_000, "a", "b")
    assert (mesh["a"].slots, mesh["b"].slots) == (2, 2)
    assert len(recalls(mesh)) - before <= 4 * 10_000 // TENURE_MS, "one a tenure and bidder"


def test_of_a_bidder_with_many_slots_half_are_called_back_at_once() -> None:
    mesh = hoarding("c", slots=64)
    pass_time(mesh, 1_500, "a", "b")
    assert (mesh["a"].slots, mesh["b"].slots) == (32, 32)


def test_two_issuers_take_turns_at_the_only_slot() -> None:
    mesh = hoarding("c")
    turns: list[str] = []
    for _ in range(600):
        pass_time(mesh, 10, "a", "b")
        holder = next((name for name in "ab" if mesh[name].slots), None)
        if holder is not None and (not turns or turns[-1] != holder):
            turns.append(holder)
    assert turns[:4] == ["a", "b", "a", "b"]
    assert 4 <= len(turns) <= 6_000 // TENURE_MS, "each has it for a while"


def test_a_slot_that_was_called_back_is_kept_for_the_one_that_waited() -> None:
    mesh = hoarding("c")
    mesh.submit("a", ReleaseSlots("no lot", mesh["c"].id, 1))
    while not recalls(mesh):
        mesh.advance(10)
    give_back(mesh, "a")
    mesh.seek("a", 101)
    mesh.settle()
    mesh.advance(50)
    assert (mesh["a"].slots, mesh["b"].slots) == (0, 1)


def test_nobody_gives_its_last_slot_to_somebody_that_holds_one() -> None:
    mesh = Mesh("a", "b", "c", "d")
    mesh.host(1, "c", "d")
    mesh.seek("a", 1)
    mesh.settle()
    mesh.seek("b", 9)
    mesh.settle()
    assert (mesh["a"].slots, mesh["b"].slots) == (1, 1)
    pass_time(mesh, 5_000, "a", "b")
    assert (mesh["a"].slots, mesh["b"].slots) == (1, 1)


def test_slots_that_are_owed_are_not_called_back_twice() -> None:
    mesh = hoarding("c", slots=4)
    mesh.advance(10_000)
    asked = [e.slots for e in mesh["a"].events if isinstance(e, SlotsRecalled)]
    assert sum(asked) == 2, "its tasks are long, and it owes what is fair"


def test_what_is_kept_for_somebody_that_does_not_come_is_given_to_others() -> None:
    mesh = hoarding("c")
    while not recalls(mesh):
        mesh.advance(10)
    mesh.seek("b", 0)
    give_back(mesh, "a")
    pass_time(mesh, 500, "a")
    assert mesh["a"].slots == 1


def test_a_recall_of_what_is_not_held_is_ignored() -> None:
    mesh = hoarding("c", slots=2)
    mesh.deliver("c", "a", Recall("no such lot", 1, 0))
    (lot,) = {lot for lot, _ in mesh["a"].held}
    mesh.deliver("b", "a", Recall(lot, 1, 0))
    mesh.deliver("c", "a", Recall(lot, 0, 0))
    mesh.deliver("c", "a", Recall(lot, 2, 2))
    assert not mesh["a"].all(SlotsRecalled)
    assert mesh["a"].auction.held(*SKILL) == 2
