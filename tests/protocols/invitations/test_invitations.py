"""Who may come in with a token, and what the others are told."""

import hashlib

import msgspec
import pytest

from protocols.errors import Refused
from protocols.identity import Ed25519Keyring
from protocols.invitations.commands import Redeem
from protocols.invitations.invitations import (
    LIFE_MOST_NS,
    OPEN_LIMIT,
    REMEMBERED_LIMIT,
    Invitations,
)
from protocols.invitations.messages import BODY_LIMIT, Join, JoinBody
from protocols.invitations.token import invitation_keyring
from protocols.machine import SECOND_NS, Now
from protocols.wire import encode
from tests.protocols.invitations.town import MESH, MINUTE_NS, WALL_S, Inviter, Newcomer

SECRET = b"s" * 16
ANNA, BERT = Newcomer(1, "anna"), Newcomer(2, "bert")


@pytest.fixture
def inviter() -> Inviter:
    made = Inviter()
    made.open(SECRET)
    return made


def refusal(inviter: Inviter, join: Join, curve: bytes = ANNA.curve) -> str:
    before = list(inviter.machine.snapshot())
    with pytest.raises(Refused) as refused:
        inviter.redeem(join, curve)
    assert list(inviter.machine.snapshot()) == before, "a refusal changes nothing"
    inviter.machine.check()
    return f"{refused.value.kind}: {refused.value.message}"


def test_a_newcomer_with_the_token_is_let_in_once_its_use_is_on_disk(inviter: Inviter) -> None:
    told = inviter.take(ANNA, SECRET)
    assert (told.peer, told.curve, told.name) == (ANNA.keyring.peer, ANNA.curve, "anna")
    assert inviter.synced == [False, True], "a power cut must not make the token good again"


def test_a_second_newcomer_is_told_that_the_token_was_used(inviter: Inviter) -> None:
    inviter.take(ANNA, SECRET)
    assert refusal(inviter, BERT.join(SECRET), BERT.curve).startswith("used: ")


def test_a_newcomer_whose_answer_was_lost_is_answered_again(inviter: Inviter) -> None:
    first = inviter.take(ANNA, SECRET)
    written = list(inviter.disk)
    assert inviter.take(ANNA, SECRET) == first
    assert inviter.disk == written


@pytest.mark.parametrize("compact", [False, True])
def test_after_kill_nine_a_used_token_is_still_used(inviter: Inviter, compact: bool) -> None:
    inviter.take(ANNA, SECRET)
    inviter.restart(compact)
    assert refusal(inviter, BERT.join(SECRET), BERT.curve).startswith("used: ")
    assert inviter.take(ANNA, SECRET).peer == ANNA.keyring.peer


@pytest.mark.parametrize("compact", [False, True])
def test_an_open_invitation_outlives_a_restart_for_what_is_left(
    inviter: Inviter, compact: bool
) -> None:
    inviter.passes(14 * MINUTE_NS)
    inviter.restart(compact)
    inviter.passes(MINUTE_NS // 2)
    inviter.take(ANNA, SECRET)
    inviter.passes(MINUTE_NS)
    wall_s = inviter.now.wall_ns // SECOND_NS
    assert refusal(inviter, ANNA.join(SECRET, wall_s=wall_s)).startswith("expired: ")


def test_a_token_ends_when_its_time_is_over_whatever_the_wall_clock_does(inviter: Inviter) -> None:
    inviter.passes(15 * MINUTE_NS, wall_ns=0)
    assert refusal(inviter, ANNA.join(SECRET)).startswith("expired: the token ended 0 s ago")


@pytest.mark.parametrize(
    ("off_s", "words"),
    [(301, "301 s ahead of"), (-301, "301 s behind"), (90_000, "90000 s ahead of")],
)
def test_a_clock_that_is_off_is_told_and_does_not_cost_the_token(
    inviter: Inviter, off_s: int, words: str
) -> None:
    told = refusal(inviter, ANNA.join(SECRET, wall_s=WALL_S + off_s))
    assert told.startswith("clock-off: ")
    assert words in told
    inviter.take(ANNA, SECRET)


def test_a_token_of_another_mesh_is_not_taken(inviter: Inviter) -> None:
    other = Ed25519Keyring(b"o" * 32, bytes(32)).peer
    assert refusal(inviter, ANNA.join(SECRET, mesh=other)).startswith("other-mesh: ")


def test_a_key_that_the_connection_did_not_prove_is_not_taken(inviter: Inviter) -> None:
    told = refusal(inviter, ANNA.join(SECRET), curve=BERT.curve)
    assert told.startswith("wrong-curve-key: ")


def test_a_guessed_secret_is_an_unknown_invitation(inviter: Inviter) -> None:
    assert refusal(inviter, ANNA.join(b"g" * 16)).startswith("unknown-invitation: ")


def test_nobody_comes_in_by_the_public_half_alone(inviter: Inviter) -> None:
    key = invitation_keyring(SECRET, MESH).peer
    body = encode(JoinBody(MESH, key, BERT.keyring.peer, BERT.curve, "bert", WALL_S))
    own = BERT.keyring.sign("door.join", body)
    assert refusal(inviter, Join(body, own, own), BERT.curve).startswith("bad-proof: ")


def test_nobody_gets_a_credential_for_a_key_of_somebody_else(inviter: Inviter) -> None:
    good = ANNA.join(SECRET)
    forged = msgspec.structs.replace(good, signature=BERT.keyring.sign("door.join", good.body))
    assert refusal(inviter, forged).startswith("bad-proof: ")


def test_what_is_no_join_is_told_so(inviter: Inviter) -> None:
    assert refusal(inviter, Join(b"\xc1", bytes(64), bytes(64))).startswith("malformed: ")


def test_a_join_is_bounded() -> None:
    too_long = encode(Join(bytes(BODY_LIMIT + 1), bytes(64), bytes(64)))
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(too_long, type=Join)
    assert len(encode(Newcomer(1, "n" * 48).join(SECRET))) < 400


def test_a_join_has_the_same_bytes_in_every_release() -> None:
    said = encode(ANNA.join(SECRET))
    assert (
        hashlib.sha256(said).hexdigest()
        == "067de9225b4d8d191d1f256cf856f9d28954bc4c0ffd469cedbe544a35d6d86d"
    )
    assert msgspec.msgpack.decode(said, type=Join) == ANNA.join(SECRET)


def test_so_many_invitations_are_open_and_no_more() -> None:
    inviter = Inviter()
    for number in range(OPEN_LIMIT):
        inviter.open(number.to_bytes(16, "big"), valid_ns=MINUTE_NS)
    with pytest.raises(Refused) as refused:
        inviter.open(SECRET)
    assert refused.value.kind == "TooManyInvitations"
    assert refused.value.retry_after_ns == MINUTE_NS
    inviter.passes(MINUTE_NS)
    inviter.open(SECRET)


def test_what_has_ended_is_forgotten_oldest_first_and_stays_shut() -> None:
    inviter = Inviter()
    total = OPEN_LIMIT + REMEMBERED_LIMIT + 1
    for number in range(total):
        inviter.open(number.to_bytes(16, "big"), valid_ns=SECOND_NS)
        inviter.passes(SECOND_NS)
    assert sum(1 for _ in inviter.machine.snapshot()) == REMEMBERED_LIMIT + 1
    wall_s = inviter.now.wall_ns // SECOND_NS
    last = ANNA.join((total - 1).to_bytes(16, "big"), wall_s=wall_s)
    assert refusal(inviter, last).startswith("expired: ")
    first = ANNA.join(bytes(16), wall_s=wall_s)
    assert refusal(inviter, first).startswith("unknown-invitation: ")


def test_a_wall_clock_set_back_before_a_restart_fills_no_memory() -> None:
    inviter = Inviter()
    for number in range(OPEN_LIMIT + REMEMBERED_LIMIT + 9):
        inviter.open(number.to_bytes(16, "big"), valid_ns=SECOND_NS)
        inviter.passes(SECOND_NS)
    inviter.passes(0, wall_ns=-(10**6) * SECOND_NS)
    inviter.restart()


@pytest.mark.parametrize("valid_ns", [0, -1, SECOND_NS - 1, LIFE_MOST_NS + 1])
def test_an_invitation_has_a_sensible_life(valid_ns: int) -> None:
    with pytest.raises(Refused, match="a second to 30 days"):
        Inviter().open(SECRET, valid_ns)


def test_a_key_opens_one_invitation(inviter: Inviter) -> None:
    with pytest.raises(Refused, match="with this key already"):
        inviter.open(SECRET)


def test_a_machine_without_invitations_lets_nobody_in() -> None:
    machine = Invitations(MESH, Ed25519Keyring(b"k" * 32, MESH))
    with pytest.raises(Refused, match="unknown-invitation"):
        machine.submit(Redeem(1, ANNA.join(SECRET), ANNA.curve), Now(0, WALL_S * SECOND_NS))
    assert machine.deadline() is None
