"""Demands that only some bidders are fit for."""

from protocols.auction.commands import CandidateUp, Seek
from protocols.auction.events import SlotsWon
from protocols.auction.messages import Invite
from tests.protocols.auction.mesh import SKILL, Mesh


def known(mesh: Mesh, name: str, *labels: str) -> None:
    """All peers know the labels of one."""
    for other in mesh.peers:
        mesh.submit(other, CandidateUp(mesh[name].id, mesh[name].boot, (SKILL,), labels))


def seek(mesh: Mesh, name: str, *requires: str, units: int = 1) -> None:
    mesh.submit(name, Seek(*SKILL, units, 0, requires=requires))
    mesh.settle()


def won(mesh: Mesh) -> list[tuple[bytes, tuple[str, ...]]]:
    return [(e.bidder, e.requires) for e in mesh["a"].events if isinstance(e, SlotsWon)]


def test_only_those_with_all_the_labels_are_invited() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(4, "a", "b", "c")
    known(mesh, "b", "gpu")
    known(mesh, "c", "gpu", "region:eu")
    seek(mesh, "a", "gpu", "region:eu")
    (invite,) = [m for _, _, m in mesh.sent if isinstance(m, Invite)]
    assert [candidate.peer for candidate in invite.candidates] == [mesh["c"].id]
    assert won(mesh) == [(mesh["c"].id, ("gpu", "region:eu"))]


def test_the_issuer_bids_itself_where_it_has_the_labels() -> None:
    mesh = Mesh("a", "b")
    mesh.host(4, "a", "b")
    known(mesh, "a", "gpu")
    seek(mesh, "a", "gpu")
    assert won(mesh) == [(mesh["a"].id, ("gpu",))]


def test_demands_with_other_labels_are_demands_of_their_own() -> None:
    mesh = Mesh("a", "b")
    mesh.host(4, "b")
    known(mesh, "b", "gpu")
    seek(mesh, "a", units=2)
    seek(mesh, "a", "gpu")
    assert [requires for _, requires in won(mesh)] == [(), ("gpu",)]


def test_a_demand_that_nobody_is_fit_for_is_met_when_somebody_comes_to_be() -> None:
    mesh = Mesh("a", "b")
    mesh.host(4, "b")
    seek(mesh, "a", "gpu")
    assert won(mesh) == []
    known(mesh, "b", "gpu")
    mesh.settle()
    assert won(mesh) == [(mesh["b"].id, ("gpu",))]
