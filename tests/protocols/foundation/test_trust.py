"""Trust: what follows from what authorities stated, in whatever order it was heard."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.credentials import CredentialRefused
from protocols.identity import Keyring
from protocols.statements import Revocation, decode_statement
from protocols.trust import (
    RESERVED_FOR_ROOTS,
    STATEMENTS_LIMIT,
    STATEMENTS_PER_ISSUER_LIMIT,
    Trust,
    Verdict,
)
from protocols.wire import Signed, seal
from simulations.keyrings import simulated_keyrings
from tests.protocols.foundation.authorities import END_S, NOW_NS, Authorities, seed_of

OURS, THEIRS = Authorities(1000), Authorities(2000)
ROOT, ISSUER, OTHER_ISSUER = OURS.root, OURS.keyring(1), OURS.keyring(2)
PEER, OTHER = OURS.keyring(3), OURS.keyring(4)
NEW_ROOT = OURS.keyring(5)


def take(trust: Trust, envelope: Signed, keyring: Keyring = ROOT) -> Verdict:
    said = decode_statement(envelope)
    assert said is not None
    verdict = trust.take(said, envelope, keyring)
    trust.check()
    return verdict


def trust_of(*statements: Signed) -> Trust:
    trust = Trust(OURS.mesh)
    for envelope in statements:
        take(trust, envelope)
    return trust


def refusal(trust: Trust, chain: bytes, wall_ns: int = NOW_NS) -> str:
    """The kind of the refusal, or "" where the chain is good."""
    try:
        trust.verify(chain, wall_ns, ROOT)
    except CredentialRefused as refused:
        return refused.kind
    return ""


PEERS_CHAIN = OURS.chain(PEER.peer, ISSUER)


def test_who_was_not_revoked_is_believed() -> None:
    assert refusal(trust_of(), PEERS_CHAIN) == ""


@pytest.mark.parametrize("by", [None, ISSUER, OTHER_ISSUER])
def test_a_root_or_any_issuer_may_revoke_a_peer(by: Keyring | None) -> None:
    trust = trust_of(OURS.revocation(PEER.peer, by=by))
    assert refusal(trust, PEERS_CHAIN) == "revoked"
    assert PEER.peer in trust.outcasts
    assert refusal(trust, OURS.chain(OTHER.peer, ISSUER)) == ""


def test_a_revoked_key_gets_no_new_credential_from_anybody() -> None:
    trust = trust_of(OURS.revocation(PEER.peer, by=ISSUER))
    assert refusal(trust, OURS.chain(PEER.peer, OTHER_ISSUER, serial=99)) == "revoked"


def test_a_revoked_serial_ends_one_credential_of_its_issuer_and_no_other() -> None:
    trust = trust_of(OURS.revocation(serial=2, by=ISSUER))
    assert refusal(trust, OURS.chain(PEER.peer, ISSUER, serial=2)) == "revoked"
    assert refusal(trust, OURS.chain(PEER.peer, ISSUER, serial=3)) == ""
    assert refusal(trust, OURS.chain(PEER.peer, OTHER_ISSUER, serial=2)) == ""


def test_a_serial_that_a_root_revokes_is_anybodys() -> None:
    trust = trust_of(OURS.revocation(serial=2))
    assert refusal(trust, OURS.chain(PEER.peer, OTHER_ISSUER, serial=2)) == "revoked"


def test_a_revoked_issuer_takes_all_that_it_signed_with_it() -> None:
    trust = trust_of(OURS.revocation(ISSUER.peer))
    assert refusal(trust, PEERS_CHAIN) == "issuer-revoked"
    assert refusal(trust, OURS.chain(PEER.peer, OTHER_ISSUER)) == "", "the key itself is good"


def test_an_issuer_cannot_end_another_issuers_standing() -> None:
    trust = trust_of(OURS.revocation(ISSUER.peer, by=OTHER_ISSUER))
    assert refusal(trust, PEERS_CHAIN) == ""
    assert refusal(trust, OURS.chain(ISSUER.peer, OTHER_ISSUER)) == "revoked", "as a peer it is"


def test_nobody_revokes_a_root() -> None:
    trust = Trust(OURS.mesh)
    assert take(trust, OURS.revocation(ROOT.peer, by=ISSUER)) is Verdict.UNFOUNDED


def test_a_peer_is_no_authority() -> None:
    trust = Trust(OURS.mesh)
    assert take(trust, OURS.revocation(OTHER.peer, by=PEER, named_by=PEER)) is Verdict.UNFOUNDED
    assert take(trust, seal(PEER, Revocation(OTHER.peer, 0, "", 0))) is Verdict.FORGED
    assert take(trust, OURS.named(PEER, by=PEER)) is Verdict.UNFOUNDED
    assert take(trust, OURS.succession(PEER, OTHER)) is Verdict.UNFOUNDED
    assert trust.statements == {}


def test_an_issuers_credential_shown_by_somebody_else_is_a_forgery() -> None:
    borrowed = decode_statement(OURS.revocation(OTHER.peer, by=ISSUER))
    assert borrowed is not None
    assert take(Trust(OURS.mesh), seal(PEER, borrowed)) is Verdict.FORGED


def test_another_meshs_authority_is_none_here() -> None:
    trust = Trust(OURS.mesh)
    assert take(trust, seal(THEIRS.root, Revocation(PEER.peer, 0, "", 0))) is Verdict.FORGED
    theirs = THEIRS.keyring(1)
    assert take(trust, THEIRS.revocation(PEER.peer, by=theirs)) is not Verdict.NEW


@pytest.mark.parametrize(("subject", "serial"), [(b"", 0), (PEER.peer, 7), (b"short", 0)])
def test_a_revocation_names_a_key_or_a_serial(subject: bytes, serial: int) -> None:
    assert take(Trust(OURS.mesh), OURS.revocation(subject, serial)) is Verdict.FORGED


def test_what_is_known_changes_nothing() -> None:
    trust = trust_of(OURS.revocation(PEER.peer, by=ISSUER))
    changes = trust.changes
    assert take(trust, OURS.revocation(PEER.peer, by=OTHER_ISSUER)) is Verdict.KNOWN
    assert trust.changes == changes
    assert take(trust, OURS.revocation(PEER.peer)) is Verdict.NEW, "a root's word says more"


def test_a_named_issuer_is_known_by_its_newest_credential() -> None:
    trust = trust_of(OURS.named(PEER))
    assert take(trust, OURS.named(PEER, begin_s=1_000_001)) is Verdict.NEW
    assert take(trust, OURS.named(PEER)) is Verdict.KNOWN
    assert trust.issuers[PEER.peer].credential.not_before_s == 1_000_001
    assert len(trust.statements) == 1


def test_while_a_root_is_succeeded_what_both_signed_counts() -> None:
    trust = trust_of(OURS.succession(ROOT, NEW_ROOT, retires_s=END_S - 400))
    new = OURS.chain(PEER.peer, OTHER_ISSUER, by=NEW_ROOT)
    assert refusal(trust_of(), new) == "unknown-root"
    assert refusal(trust, new) == ""
    assert refusal(trust, PEERS_CHAIN) == ""
    retired_ns = (END_S - 99) * 1_000_000_000
    assert refusal(trust, new, retired_ns) == ""
    assert refusal(trust, PEERS_CHAIN, retired_ns) == "root-retired"


def test_a_root_has_one_successor_and_that_one_must_agree() -> None:
    trust = Trust(OURS.mesh)
    said = decode_statement(OURS.succession(ROOT, NEW_ROOT))
    assert said is not None
    unwilling = msgspec.structs.replace(said, successor=OTHER.peer)
    assert take(trust, seal(ROOT, unwilling)) is Verdict.FORGED
    assert take(trust, OURS.succession(ROOT, NEW_ROOT)) is Verdict.NEW
    assert take(trust, OURS.succession(ROOT, OTHER)) is Verdict.KNOWN
    assert list(trust.roots) == [ROOT.peer, NEW_ROOT.peer]


def test_one_issuer_cannot_fill_the_table_and_all_of_them_leave_room_for_roots() -> None:
    keyrings = simulated_keyrings(bytes(32))
    root = keyrings(seed_of(1), keyrings(seed_of(1), bytes(32)).peer)
    mesh = Authorities()
    mesh.mesh, mesh.root = root.peer, root
    trust = Trust(root.peer)
    for issuer in range(5):
        by = keyrings(seed_of(100 + issuer), root.peer)
        verdicts = [
            take(trust, mesh.revocation(serial=1 + n, by=by), root)
            for n in range(STATEMENTS_PER_ISSUER_LIMIT + 1)
        ]
        assert verdicts[-1] is Verdict.NO_ROOM
    assert len(trust.statements) == STATEMENTS_LIMIT - RESERVED_FOR_ROOTS
    for number in range(RESERVED_FOR_ROOTS):
        assert take(trust, mesh.revocation(serial=1 + number), root) is Verdict.NEW
    assert take(trust, mesh.revocation(serial=10**6), root) is Verdict.NO_ROOM


SAID = (
    OURS.revocation(PEER.peer, by=ISSUER),
    OURS.revocation(ISSUER.peer),
    OURS.revocation(serial=7, by=OTHER_ISSUER),
    OURS.revocation(serial=8),
    OURS.named(OTHER),
    OURS.named(OTHER, begin_s=1_000_001),
    OURS.revocation(OTHER.peer, by=ISSUER),
    OURS.revocation(OTHER.peer),
)
CHAINS = [
    OURS.chain(peer.peer, issuer, serial)
    for peer in (PEER, OTHER)
    for issuer in (ISSUER, OTHER_ISSUER)
    for serial in (2, 7, 8)
]


@given(st.permutations(SAID), st.permutations(SAID), st.integers(0, len(SAID)))
def test_peers_that_heard_the_same_judge_alike_whatever_came_first(
    one: list[Signed], other: list[Signed], again: int
) -> None:
    first, second = trust_of(*one, *one[:again]), trust_of(*other)
    assert sorted(first.statements) == sorted(second.statements)
    assert [refusal(first, c) for c in CHAINS] == [refusal(second, c) for c in CHAINS]


@given(st.permutations(SAID))
def test_what_is_read_back_judges_as_it_did_before(order: list[Signed]) -> None:
    before, after = trust_of(*order), Trust(OURS.mesh)
    for envelope in before.statements.values():
        said = decode_statement(envelope)
        assert said is not None
        after.restore(said, envelope)
    assert list(after.statements.items()) == list(before.statements.items())
    assert [refusal(after, c) for c in CHAINS] == [refusal(before, c) for c in CHAINS]


def test_more_statements_never_make_a_refused_chain_good() -> None:
    for count in range(len(SAID)):
        for chosen in itertools.islice(itertools.combinations(SAID, count), 8):
            few, more = trust_of(*chosen), trust_of(*chosen, SAID[count])
            for chain in CHAINS:
                assert not refusal(few, chain) or refusal(more, chain)


def test_who_is_shown_the_statement_of_a_refusal_refuses_the_chain_as_well() -> None:
    more, shown = trust_of(*SAID), 0
    for chain in CHAINS:
        found = more.refusal(chain)
        if found is None:
            continue
        shown += 1
        hears = Trust(OURS.mesh)
        assert take(hears, found.statement) is Verdict.NEW
        assert refusal(hears, chain) == found.kind
    assert shown > 1


def test_a_statement_that_a_door_made_up_counts_for_nothing() -> None:
    assert take(Trust(OURS.mesh), THEIRS.revocation(PEER.peer)) is Verdict.FORGED
