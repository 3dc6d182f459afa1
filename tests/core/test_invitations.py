"""Invitations in the core: nothing is told before it is on disk, and a restart forgets nothing."""

import pytest

from mesh.core.outward import Notify, Outward
from mesh.core.records import StepRecord
from protocols.errors import Refused
from protocols.invitations.commands import OpenInvitation, Redeem
from protocols.invitations.events import InvitationOpened, InvitationRedeemed
from protocols.invitations.messages import Join, JoinBody, make_join
from protocols.invitations.token import invitation_keyring
from protocols.machine import SECOND_NS
from tests.core.lone_core import ROOT, WALL_S, LoneCore

SECRET = b"s" * 16
NEWCOMER, OTHER = LoneCore(7), LoneCore(8)
CURVE = b"n" * 32


def told(outward: list[Outward]) -> list[object]:
    return [each.event for each in outward if isinstance(each, Notify)]


def join(newcomer: LoneCore) -> Join:
    invitation = invitation_keyring(SECRET, ROOT)
    body = JoinBody(ROOT, invitation.peer, newcomer.peer, CURVE, "newcomer", WALL_S)
    return make_join(body, invitation, newcomer.keyring)


def write(one: LoneCore, disk: list[StepRecord]) -> None:
    """What waits becomes durable."""
    records = one.core.take_records()
    disk += records
    one.core.recorded(records[-1].number)


def test_what_is_told_of_an_invitation_is_on_disk_first_and_survives() -> None:
    one, disk = LoneCore(1), list[StepRecord]()
    key = invitation_keyring(SECRET, ROOT).peer
    one.core.submit(OpenInvitation(1, key, 900 * SECOND_NS), one.now)
    assert told(one.core.take_outward()) == []
    write(one, disk)
    assert [type(event) for event in told(one.core.take_outward())] == [InvitationOpened]

    one.core.submit(Redeem(2, join(NEWCOMER), CURVE), one.now)
    assert told(one.core.take_outward()) == [], "a credential would be signed too early"
    write(one, disk)
    assert disk[-1].sync
    (event,) = told(one.core.take_outward())
    assert isinstance(event, InvitationRedeemed)
    assert event.peer == NEWCOMER.peer

    for records in ([record.data for record in disk], list(one.core.snapshot())):
        again = LoneCore(1)
        again.core.restore(records, again.now)
        with pytest.raises(Refused, match="used: "):
            again.core.submit(Redeem(3, join(OTHER), CURVE), again.now)
        again.core.submit(Redeem(4, join(NEWCOMER), CURVE), again.now)
        assert again.core.take_records() == ()
        assert [type(event) for event in told(again.core.take_outward())] == [InvitationRedeemed]


def test_a_use_that_never_reached_the_disk_was_told_to_nobody() -> None:
    one, disk = LoneCore(1), list[StepRecord]()
    key = invitation_keyring(SECRET, ROOT).peer
    one.core.submit(OpenInvitation(1, key, 900 * SECOND_NS), one.now)
    write(one, disk)
    one.core.take_outward()
    one.core.submit(Redeem(2, join(NEWCOMER), CURVE), one.now)
    assert told(one.core.take_outward()) == []
    again = LoneCore(1)
    again.core.restore([record.data for record in disk], again.now)
    again.core.submit(Redeem(3, join(OTHER), CURVE), again.now)
    write(again, disk)
    (event,) = told(again.core.take_outward())
    assert isinstance(event, InvitationRedeemed)
    assert event.peer == OTHER.peer
