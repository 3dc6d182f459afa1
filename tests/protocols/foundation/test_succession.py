"""Later roots: a credential shows by itself how its root became one."""

import itertools

import msgspec
import pytest

from protocols.credentials import (
    CHAIN_LIMIT,
    CLOCK_TOLERANCE_S,
    SUCCESSIONS_LIMIT,
    CredentialRefused,
    Succession,
    decode_chain,
    encode_chain,
)
from protocols.identity import Keyring
from protocols.statements import decode_statement
from protocols.succession import founded, shown, verify_founded
from protocols.trust import Trust, Verdict
from protocols.wire import Signed
from tests.protocols.foundation.authorities import END_S, NOW_NS, Authorities

OURS = Authorities()
ROOTS: list[Keyring] = [OURS.root, *(OURS.keyring(number) for number in range(2001, 2010))]
PEER, ISSUER, THIEF = (OURS.keyring(number) for number in (1, 2, 3))


def named(*roots: Keyring, retires_s: int = END_S) -> list[Signed]:
    """Each of these roots names the next."""
    pairs = itertools.pairwise(roots)
    return [OURS.succession(old, new, retires_s) for old, new in pairs]


def words(envelopes: list[Signed]) -> tuple[Succession, ...]:
    return tuple(Succession(each.body, each.signature) for each in envelopes)


def chain(*roots: Keyring) -> bytes:
    """A peer's credential by the last of these roots, with how it became one."""
    return founded(OURS.chain(PEER.peer, ISSUER, by=roots[-1]), words(named(*roots)))


def taken(trust: Trust, envelope: Signed) -> Verdict:
    said = decode_statement(envelope)
    assert said is not None
    return trust.take(said, envelope, PEER)


def verify(encoded: bytes, wall_ns: int = NOW_NS, **known: dict[bytes, int | None]) -> str:
    try:
        verify_founded(encoded, OURS.mesh, wall_ns, PEER, **known)
    except CredentialRefused as refused:
        return refused.kind
    return "good"


@pytest.mark.parametrize("count", range(1, SUCCESSIONS_LIMIT + 2))
def test_whoever_knows_the_meshs_id_alone_can_check_it(count: int) -> None:
    encoded = chain(*ROOTS[:count])
    assert verify(encoded) == "good"
    assert len(encoded) <= CHAIN_LIMIT, "it fits where credentials go"


def test_of_the_first_root_it_is_written_as_it_always_was() -> None:
    decoded, _, _ = decode_chain(chain(ROOTS[0]))
    assert msgspec.msgpack.decode(encode_chain(decoded.issuer, decoded.peer))[0] == "chain"
    assert len(msgspec.msgpack.decode(chain(ROOTS[0]))) == 3
    assert len(msgspec.msgpack.decode(chain(*ROOTS[:2]))) == 4


def test_without_the_words_it_is_of_an_unknown_root() -> None:
    assert verify(OURS.chain(PEER.peer, ISSUER, by=ROOTS[1])) == "unknown-root"


def test_words_that_somebody_bent_or_left_out_lead_nowhere() -> None:
    decoded, _, _ = decode_chain(chain(*ROOTS[:3]))
    first, second = decoded.roots
    forged = words([OURS.succession(THIEF, ROOTS[2])])[0]
    unwilling = words([OURS.succession(ROOTS[1], ROOTS[2])])[0]
    bent = msgspec.structs.replace(second, body=second.body[:-1] + b"\0")
    for roots in ((second,), (first, forged), (first, bent), (unwilling, second), ()):
        assert verify(encode_chain(decoded.issuer, decoded.peer, roots)) == "unknown-root"


def test_a_successor_that_did_not_agree_is_none() -> None:
    decoded, _, _ = decode_chain(chain(*ROOTS[:2]))
    (word,) = decoded.roots
    said = msgspec.msgpack.decode(word.body)
    said[3] = bytes(64)
    body = msgspec.msgpack.encode(said)
    signed = ROOTS[0].sign("gossip.root", body)
    lone = (Succession(body, signed),)
    assert verify(encode_chain(decoded.issuer, decoded.peer, lone)) == "unknown-root"


def test_a_second_successor_of_a_root_is_a_thiefs_where_the_first_is_known() -> None:
    trust = Trust(OURS.mesh)
    for envelope in named(*ROOTS[:2]):
        assert taken(trust, envelope) is Verdict.NEW
    stolen = chain(ROOTS[0], THIEF)
    assert verify(stolen) == "good", "who knows nothing yet cannot tell"
    with pytest.raises(CredentialRefused, match="unknown-root"):
        trust.verify(stolen, NOW_NS, PEER)
    trust.verify(chain(*ROOTS[:2]), NOW_NS, PEER)


def test_trust_gives_the_words_in_their_order_whatever_came_first() -> None:
    trust = Trust(OURS.mesh)
    envelopes = named(*ROOTS[:4])
    for envelope in envelopes:
        taken(trust, envelope)
    assert trust.successions == words(envelopes)
    assert list(trust.roots) == [root.peer for root in ROOTS[:4]]


def test_what_a_retired_root_signed_ends_with_it_and_what_its_successor_signs_goes_on() -> None:
    retires_s = NOW_NS // 10**9
    successions = words(named(*ROOTS[:2], retires_s=retires_s))
    roots = shown(successions, OURS.mesh, {OURS.mesh: None}, PEER)
    after_ns = (retires_s + CLOCK_TOLERANCE_S + 1) * 10**9
    assert verify(chain(ROOTS[0]), after_ns, roots=roots) == "root-retired"
    assert verify(chain(ROOTS[0]), NOW_NS, roots=roots) == "good"
    newer = founded(OURS.chain(PEER.peer, ISSUER, by=ROOTS[1]), successions)
    assert verify(newer, after_ns, roots=roots) == "good"


def test_only_the_words_that_it_takes_are_carried() -> None:
    successions = words(named(*ROOTS[:4]))
    for at in range(4):
        encoded = founded(OURS.chain(PEER.peer, ISSUER, by=ROOTS[at]), successions)
        assert len(decode_chain(encoded)[0].roots) == at
