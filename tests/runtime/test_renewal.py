"""Renewal at doors, guests whose credential changes, and when a peer asks for a newer one."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mesh.runtime.dialling import DialFailed, Failure
from mesh.runtime.door import Answer, Renewed, TurnedAway, encode_renew
from mesh.runtime.renewal import DOORS_LIMIT, Renewal
from mesh.runtime.sockets import new_curve_keys
from mesh.runtime.zap import Guests
from protocols.credentials import Credential, CredentialRefused
from protocols.errors import ConfigurationError, Refused
from protocols.gossip.commands import Contact
from protocols.machine import Now
from tests.runtime.strangers import knocker
from tests.runtime.transport_rig import Authority, Neighbour

PEER, OTHER = bytes([9]) * 32, bytes([8]) * 32
CURVE = bytes([7]) * 32


async def test_a_door_renews_for_the_bearer_of_a_good_credential() -> None:
    anna, keys = Neighbour(Authority(), 2, dict[bytes, Contact]()), new_curve_keys()
    asked: list[Credential] = []

    def sign(credential: Credential) -> bytes:
        asked.append(credential)
        return b"newer"

    anna.take_renewal = sign
    old = anna.authority.chain(PEER, keys.public)
    async with anna.up(), knocker(keys, anna) as knocking:
        knocking.send(encode_renew(old))
        assert await knocking.answer() == Renewed(b"newer")
        assert [credential.subject for credential in asked] == [PEER]


@pytest.mark.parametrize("kind", ["expired", "wrong-curve-key", "revoked"])
async def test_a_door_renews_nothing_for_a_bad_credential(kind: str) -> None:
    anna, keys = Neighbour(Authority(), 2, dict[bytes, Contact]()), new_curve_keys()
    anna.take_renewal = lambda credential: b"newer"
    curve = new_curve_keys().public if kind == "wrong-curve-key" else keys.public
    old = anna.authority.chain(PEER, curve, ends_in_s=-1000 if kind == "expired" else 3600)
    async with anna.up(), knocker(keys, anna) as knocking:
        if kind == "revoked":
            anna.transport.revoke(PEER)
        knocking.send(encode_renew(old))
        answer = await knocking.answer()
        assert isinstance(answer, TurnedAway)
        assert answer.kind == kind
        if kind != "expired":
            knocking.send(encode_renew(old))
            assert await knocking.is_left_unanswered(), "it is not listened to for a while"


async def test_who_signs_nothing_says_so_and_goes_on_listening() -> None:
    anna, keys = Neighbour(Authority(), 2, dict[bytes, Contact]()), new_curve_keys()
    async with anna.up(), knocker(keys, anna) as knocking:
        for _ in range(2):
            knocking.send(encode_renew(anna.authority.chain(PEER, keys.public)))
            answer = await knocking.answer()
            assert isinstance(answer, TurnedAway)
            assert answer.kind == "no-issuer"


def test_a_guest_that_renewed_stays_for_longer_and_by_its_own_key_only() -> None:
    now = [Now(0, 0)]
    guests = Guests(lambda: now[0])
    guests.admit(PEER, CURVE, 10, b"old")
    guests.renewed(PEER, OTHER, 100, b"anothers")
    guests.renewed(OTHER, CURVE, 100, b"no guest")
    now[0] = Now(1, 11)
    guests.dismiss_expired()
    assert guests.peer_of(CURVE.hex()) is None
    guests.renewed(PEER, CURVE, 100, b"new")
    guests.dismiss_expired()
    assert guests.peer_of(CURVE.hex()) == PEER


def test_a_guest_whose_credential_was_ended_is_named() -> None:
    guests = Guests(lambda: Now(0, 0))
    guests.admit(PEER, CURVE, 10, b"bad")
    guests.admit(OTHER, OTHER, 10, b"good")
    assert guests.refused(lambda credential: credential == b"good") == (PEER,)
    guests.dismiss(PEER)
    assert guests.peer_of(CURVE.hex()) is None
    assert guests.admit(PEER, CURVE, 10, b"another"), "with another credential it may come again"


class Standing:
    """Holds a credential; takes what begins with the word good.

    Attributes:
        kept: what lies in the folder: b"" for what it shows.
        ended: whether its credential is over.
    """

    def __init__(self, kept: bytes = b"", ended: bool = False) -> None:
        self.credential = Authority().chain(PEER, CURVE)
        self.kept, self.ended = kept, ended

    def has_ended(self) -> bool:
        return self.ended

    def take_kept(self) -> Credential | None:
        return self.take(self.kept) if self.kept else None

    def take(self, encoded: bytes) -> Credential:
        if encoded != GOOD:
            raise CredentialRefused("other-mesh", "it is no good")
        self.credential = encoded
        return Authority().verify(encoded)


GOOD = Authority().chain(PEER, CURVE, ends_in_s=3000)


class Signer:
    def __init__(self, made: bytes | None) -> None:
        self.made = made

    def may_issue(self) -> bool:
        return self.made is not None

    def sign(self, peer: bytes, curve: bytes, roles: Sequence[str]) -> bytes:
        if not self.made:
            raise ConfigurationError("the key is damaged")
        return self.made


class View:
    def __init__(self, number: int) -> None:
        self.peer, self.name = bytes([number]) * 32, f"peer-{number}"


class Core:
    """Knows some members, of which one was named an issuer."""

    def __init__(self, members: int, named: int = 0) -> None:
        self.views = [View(number) for number in range(1, members + 1)]
        self.gossip = self.trust = self
        self.issuers = {bytes([named]) * 32: None}

    def alive(self) -> tuple[bytes, ...]:
        return tuple(view.peer for view in self.views)

    def members(self) -> list[View]:
        return self.views

    def contact(self, peer: bytes) -> Contact:
        return Contact(peer, "tcp://there:1", peer)


async def renewed(
    core: Core,
    signer: Signer,
    door: Callable[[int], Answer | DialFailed],
    standing: Standing | None = None,
) -> tuple[dict[str, Any] | str, list[int]]:
    """What came of an attempt, and whose doors were asked."""
    asked: list[int] = []

    async def ask(contact: Contact, said: bytes) -> Answer:
        asked.append(contact.peer[0])
        answer = door(contact.peer[0])
        if isinstance(answer, DialFailed):
            raise answer
        return answer

    stands: Any = standing or Standing()
    knows: Any = core
    renewal = Renewal(stands, knows, signer, ask, random.Random(1), lambda event: None)
    try:
        return await renewal.renew(), asked
    except Refused as refused:
        return refused.message, asked


def nobody(number: int) -> Answer:
    return TurnedAway("no-issuer", "not I")


async def test_the_key_at_hand_is_asked_first() -> None:
    told, asked = await renewed(Core(3), Signer(GOOD), nobody)
    assert isinstance(told, dict)
    assert asked == []


async def test_what_join_left_in_the_folder_is_taken_before_anybody_is_asked() -> None:
    told, asked = await renewed(Core(3), Signer(None), nobody, Standing(kept=GOOD))
    assert isinstance(told, dict)
    assert asked == []


async def test_what_is_no_good_in_the_folder_keeps_nobody_from_asking() -> None:
    told, asked = await renewed(
        Core(3, named=2), Signer(None), lambda n: Renewed(GOOD), Standing(kept=b"bad")
    )
    assert isinstance(told, dict)
    assert asked == [2]


async def test_whose_credential_has_ended_is_told_that_this_is_why() -> None:
    def door(number: int) -> Answer:
        return TurnedAway("expired", "it ended 301 s ago")

    told, _ = await renewed(Core(1), Signer(None), door, Standing(ended=True))
    assert isinstance(told, str)
    assert told.startswith("the credential of this peer has ended")
    assert "peer-1: expired: it ended 301 s ago" in told


async def test_a_named_issuer_is_asked_before_all_others() -> None:
    told, asked = await renewed(Core(9, named=5), Signer(None), lambda n: Renewed(GOOD))
    assert isinstance(told, dict)
    assert asked == [5]


async def test_any_issuer_may_sign_when_others_are_down_or_sign_badly() -> None:
    def door(number: int) -> Answer | DialFailed:
        match number:
            case 1:
                return DialFailed(Failure.REFUSED)
            case 2:
                return Renewed(b"bad")
            case 3:
                return Renewed(GOOD)
        return nobody(number)

    told, asked = await renewed(Core(4), Signer(b""), door)
    assert isinstance(told, dict)
    assert asked[-1] == 3


async def test_what_each_said_is_told_where_nobody_signs() -> None:
    told, asked = await renewed(
        Core(DOORS_LIMIT + 5), Signer(None), lambda n: TurnedAway("expired", "it ended")
    )
    assert isinstance(told, str)
    assert "expired: it ended" in told
    assert len(asked) == DOORS_LIMIT
