"""Statements of authorities: taken, kept, spread, and what they do to members."""

import msgspec
import pytest

from protocols.credentials import (
    NO_CURVE,
    ROLE_ISSUER,
    ROLE_PEER,
    Credential,
    encode_chain,
    issue,
)
from protocols.effects import Effect, Persist, Send
from protocols.errors import Refused
from protocols.gossip.commands import Contact, Join, Proclaim, ShowCredential
from protocols.gossip.events import CredentialRenewed, MemberDown, MemberUp, PeerRevoked
from protocols.gossip.messages import Digest, MemberRecord, Ping
from protocols.gossip.records import StatementKept
from protocols.statements import Revocation, encode_authority
from protocols.wire import Signed, Verified, seal
from tests.protocols.gossip.one import ME, One, blames, events, record, sent
from tests.protocols.gossip.support import HashKeyring, mesh_of, peer_id

ROOT = HashKeyring(bytes(32))
"""A machine that is told of no mesh takes this key for its root."""
ISSUER, OTHER_ISSUER = HashKeyring(peer_id(900)), HashKeyring(peer_id(901))
MINUTE_S = 60


def revocation(subject: bytes = b"", serial: int = 0, by: HashKeyring = ROOT) -> Signed:
    return seal(by, Revocation(subject, serial, "a test", 1))


def chain(number: int, issuer: HashKeyring = ISSUER, serial: int = 2) -> bytes:
    """The credential of the peer with this number."""

    def said(subject: bytes, role: str, serial: int) -> Credential:
        return Credential(ROOT.peer, subject, NO_CURVE, (role,), (), 0, 2**40, serial)

    named = issue(ROOT, said(issuer.peer, ROLE_ISSUER, 1))
    return encode_chain(named, issue(issuer, said(peer_id(number), ROLE_PEER, serial)))


def hear_statement(one: One, envelope: Signed, link: int = 1) -> tuple[Effect, ...]:
    message = msgspec.msgpack.decode(envelope.body, type=Revocation)
    said = Verified(message, envelope)
    effects = one.gossip.receive(peer_id(link), envelope.author, said, one.now)
    one.gossip.check()
    return effects


def test_a_revoked_member_is_told_why_and_is_none_any_more() -> None:
    one = One(members=4)
    effects = one.submit(Proclaim(revocation(peer_id(2))))
    assert one.state(2) is None
    assert [down.reason for down in events(effects, MemberDown)] == ["revoked"]
    assert [gone.peer for gone in events(effects, PeerRevoked)] == [peer_id(2)]
    assert sent(effects, Signed, to=2) == [revocation(peer_id(2))]
    assert one.gossip.contact(peer_id(2)) is None
    assert one.state(3) == "alive"


def test_nothing_is_said_to_a_revoked_member_afterwards() -> None:
    one = One(members=4)
    one.submit(Proclaim(revocation(peer_id(2))))
    assert [e for e in one.run(MINUTE_S) if isinstance(e, Send) and e.to == peer_id(2)] == []


@pytest.mark.parametrize("incarnation", [1, 2, 99])
def test_what_others_pass_on_of_a_revoked_peer_is_ignored_and_no_offence(incarnation: int) -> None:
    one = One(members=4)
    one.submit(Proclaim(revocation(peer_id(2))))
    effects = one.hear(2, record(2, incarnation, credential=chain(2)), link=3)
    assert one.state(2) is None
    assert blames(effects) == []
    assert events(effects, MemberUp) == []


def test_a_revoked_peer_is_neither_acquaintance_nor_contact() -> None:
    one = One(members=2)
    one.submit(Join((Contact(peer_id(5), "tcp://peer:5", NO_CURVE),)))
    one.submit(Proclaim(revocation(peer_id(5))))
    one.submit(Join((Contact(peer_id(5), "tcp://peer:5", NO_CURVE),)))
    assert one.gossip.contact(peer_id(5)) is None
    again = One(disk=tuple(one.gossip.snapshot()))
    assert again.gossip.contact(peer_id(2)) is not None, "others are remembered"
    one.submit(Proclaim(revocation(peer_id(2))))
    again = One(disk=tuple(one.gossip.snapshot()))
    assert again.gossip.contact(peer_id(2)) is None


def test_a_statement_is_on_disk_synced_and_survives_a_restart() -> None:
    one = One(members=2)
    effects = one.submit(Proclaim(revocation(peer_id(2))))
    kept = [e for e in effects if isinstance(e, Persist) and isinstance(e.record, StatementKept)]
    assert [effect.sync for effect in kept] == [True]
    again = One(disk=tuple(one.gossip.snapshot()))
    again.hear(2, record(2, 7, credential=chain(2)), link=1)
    assert again.state(2) is None
    assert again.submit(Proclaim(revocation(peer_id(2)))) == (), "it is known"


def test_this_peers_own_revocation_is_told_and_no_more() -> None:
    one = One(members=3)
    effects = one.submit(Proclaim(revocation(peer_id(ME))))
    assert [gone.peer for gone in events(effects, PeerRevoked)] == [peer_id(ME)]
    assert [one.state(number) for number in (1, 2, 3)] == ["alive"] * 3


def test_members_of_a_revoked_issuer_go_and_come_back_with_another_credential() -> None:
    one = One()
    one.hear(1, record(1, credential=chain(1)))
    one.hear(2, record(2, credential=chain(2, OTHER_ISSUER)))
    effects = one.submit(Proclaim(revocation(ISSUER.peer)))
    assert (one.state(1), one.state(2)) == (None, "alive")
    kinds = {gone.peer: gone.kind for gone in events(effects, PeerRevoked)}
    assert kinds == {ISSUER.peer: "revoked", peer_id(1): "issuer-revoked"}
    one.hear(1, record(1, 2, credential=chain(1)))
    assert one.state(1) is None
    one.hear(1, record(1, 3, credential=chain(1, OTHER_ISSUER)))
    assert one.state(1) == "alive"


def test_who_has_a_revoked_serial_goes_and_the_key_may_come_again() -> None:
    one = One()
    one.hear(1, record(1, credential=chain(1, serial=7)))
    one.hear(2, record(2, credential=chain(2, serial=8)))
    one.submit(Proclaim(revocation(serial=7)))
    assert (one.state(1), one.state(2)) == (None, "alive")
    one.hear(1, record(1, 2, credential=chain(1, serial=9)))
    assert one.state(1) == "alive"


def test_a_statement_without_authority_is_dropped_and_nobody_blamed() -> None:
    one = One(members=3)
    unknown = HashKeyring(peer_id(77))
    named = issue(
        unknown, Credential(ROOT.peer, peer_id(78), NO_CURVE, (ROLE_ISSUER,), (), 0, 9, 1)
    )
    said = Revocation(peer_id(2), 0, "", 1, encode_authority(named))
    effects = hear_statement(one, seal(HashKeyring(peer_id(78)), said))
    assert effects == ()
    assert one.state(2) == "alive"


def test_a_forged_statement_is_blamed_on_who_passed_it_on() -> None:
    one = One(members=3)
    effects = hear_statement(one, revocation(peer_id(2), by=HashKeyring(peer_id(3))), link=1)
    assert blames(effects) == [(peer_id(1), "gossip-forged-statement")]
    assert one.state(2) == "alive"


def test_a_proclamation_without_authority_is_refused_and_changes_nothing() -> None:
    one = One(members=3)
    for wrong in (
        revocation(peer_id(2), by=HashKeyring(peer_id(3))),
        Signed("gossip.revocation", ROOT.peer, b"garbage", bytes(64)),
        Signed("gossip.member", ROOT.peer, revocation(peer_id(2)).body, bytes(64)),
    ):
        with pytest.raises(Refused, match="NotAuthorised"):
            one.submit(Proclaim(wrong))
    assert one.state(2) == "alive"
    assert not any(isinstance(kept, StatementKept) for kept in one.gossip.snapshot())


def test_a_digest_names_what_is_kept_and_its_answer_brings_what_is_lacking() -> None:
    one = One(members=3)
    one.submit(Proclaim(revocation(peer_id(2))))
    answer = one.plain(1, Digest((), reply_wanted=True))
    assert revocation(peer_id(2)) in sent(answer, Signed, to=1)
    (mine,) = sent(answer, Digest, to=1)
    assert len(mine.statements) == 1
    one.run(1)
    answer = one.plain(1, Digest((), reply_wanted=True, statements=mine.statements))
    assert revocation(peer_id(2)) not in sent(answer, Signed, to=1)


def test_a_late_joiner_and_one_that_was_down_hear_of_it() -> None:
    mesh = mesh_of(6)
    peers = mesh.running()
    mesh.kill(peers[4])
    mesh.submit(peers[0], Proclaim(revocation(peers[5].id)))
    mesh.run(5)
    mesh.start(peers[4])
    late = mesh.add(6)
    mesh.start(late, contacts=(peers[1],))
    mesh.run(20)
    for peer in (*peers[:5], late):
        assert peers[5].id in mesh.machine(peer).trust.outcasts
        assert peers[5].id not in mesh.machine(peer).alive()
    mesh.check()


def test_a_rumour_of_a_revocation_reaches_everybody_within_seconds() -> None:
    mesh = mesh_of(20)
    peers = mesh.running()
    mesh.submit(peers[0], Proclaim(revocation(peers[19].id)))
    mesh.run_until(
        lambda: all(peers[19].id in mesh.machine(p).trust.outcasts for p in peers), seconds=2
    )


def test_a_newer_credential_is_shown_in_a_newer_record() -> None:
    one = One(members=2)
    before = one.incarnation
    one.run(1)
    effects = one.submit(ShowCredential(chain(ME)))
    assert one.incarnation == before + 1
    shown = [m for m in sent(effects, Signed, to=1) if m.domain == "gossip.member"]
    assert shown
    mine = one.gossip.record_of(peer_id(ME))
    assert isinstance(mine, MemberRecord)
    assert mine.credential == chain(ME)
    assert sent(one.plain(1, Ping(1, 0)), Digest, to=1) == []


def test_others_are_told_of_a_members_newer_credential_and_not_that_it_is_up() -> None:
    one = One()
    one.hear(1, record(1, credential=chain(1)))
    effects = one.hear(1, record(1, 2, credential=chain(1, serial=3)))
    renewed = events(effects, CredentialRenewed)
    assert renewed == [CredentialRenewed(peer_id(1), chain(1, serial=3))]
    assert events(effects, MemberUp) == []
