"""A newcomer at real doors: let in, refused, misled, or alone."""

import time
from collections.abc import Callable

import pytest

from mesh.runtime import joining
from mesh.runtime.door import HELLOS_PER_KEY_LIMIT, TurnedAway
from mesh.runtime.joining import JoinFailed, join
from mesh.runtime.sockets import CurveKeys, new_curve_keys
from mesh.storage.keys import PeerKeys
from protocols.gossip.commands import Contact
from protocols.invitations.messages import Join, Seed, Welcome, decode_body
from protocols.invitations.token import Token
from protocols.machine import SECOND_NS
from protocols.wire import encode
from tests.runtime.strangers import knocker
from tests.runtime.transport_rig import Authority, Neighbour

SECRET = b"s" * 16
KEYS = PeerKeys(b"n" * 32, b"c" * 32)
ELSEWHERE = "tcp://127.0.0.1:1"

Reply = Callable[[Welcome | TurnedAway], None]


def keeper(answer: Callable[[Neighbour, Join], Welcome | TurnedAway] | None = None) -> Neighbour:
    """A peer that welcomes everybody, or answers as it is told."""
    one = Neighbour(Authority(), 2, dict[bytes, Contact]())

    def take(curve: bytes, said: Join, reply: Reply) -> None:
        reply((answer or welcome)(one, said))

    one.take_join = take
    return one


def welcome(one: Neighbour, said: Join) -> Welcome:
    body = decode_body(said)
    assert body.curve == KEYS.curve_public
    chain = one.authority.chain(body.peer, body.curve)
    other = Seed(b"o" * 32, "tcp://10.0.0.2:1", b"q" * 32)
    return Welcome(chain, "ours", (Seed(one.id, "tcp://10.0.0.1:1", one.keys.public), other))


def token(one: Neighbour, *doors: str, key: bytes = b"", mesh: bytes = b"") -> Token:
    return Token(
        mesh or one.authority.root,
        key or one.keys.public,
        SECRET,
        int(time.time()) + 60,
        doors or (one.door,),
    )


async def failure(wanted: Token, wall_ns: Callable[[], int] = time.time_ns) -> JoinFailed:
    with pytest.raises(JoinFailed) as failed:
        await join(wanted, KEYS, "newcomer", wall_ns)
    return failed.value


async def test_a_newcomer_brings_its_credential_home() -> None:
    anna = keeper()
    async with anna.up():
        joined = await join(token(anna, ELSEWHERE, anna.door), KEYS, "newcomer")
        assert joined.credential.subject == KEYS.peer
        assert joined.mesh_name == "ours"
        assert joined.seeds[0].door == anna.door, "where it was found, not where it says"
        assert joined.seeds[1].door == "tcp://10.0.0.2:1"
        assert anna.transport.counters().door.welcomed == 1


async def test_a_refusal_is_told_as_the_door_says_it() -> None:
    anna = keeper(lambda one, said: TurnedAway("used", "somebody joined"))
    async with anna.up():
        failed = await failure(token(anna))
        assert (failed.kind, failed.message, failed.is_certain) == ("used", "somebody joined", True)


async def test_a_peer_that_takes_no_newcomers_says_so() -> None:
    anna = Neighbour(Authority(), 2, dict[bytes, Contact]())
    async with anna.up():
        assert (await failure(token(anna))).kind == "no-issuer"


async def test_whoever_has_not_the_doors_key_hears_nothing() -> None:
    anna = keeper()
    async with anna.up():
        failed = await failure(token(anna, key=new_curve_keys().public))
        assert failed.kind == "nobody-answers"
        assert "not the door that the token names" in failed.message
        assert failed.is_certain
        assert anna.transport.counters().door.welcomed == 0


async def test_where_nobody_listens_each_address_is_named_with_its_reason() -> None:
    anna = keeper()
    failed = await failure(token(anna, ELSEWHERE, "tcp://no.such.host.invalid:7"))
    assert failed.kind == "nobody-answers"
    assert f"{ELSEWHERE}: nobody listens" in failed.message
    assert "no.such.host.invalid" in failed.message


async def test_a_token_that_ended_long_ago_says_so_where_nobody_answers() -> None:
    wanted = token(keeper(), ELSEWHERE)
    failed = await failure(wanted, lambda: (wanted.not_after_s + 7200) * SECOND_NS)
    assert "the token ended 7200 s ago" in failed.message


async def test_a_door_that_falls_silent_leaves_it_uncertain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(joining, "DOOR_TIMEOUT_S", 0.3)
    anna = keeper()
    anna.take_join = lambda curve, said, reply: None
    async with anna.up():
        failed = await failure(token(anna))
        assert failed.kind == "nobody-answers"
        assert not failed.is_certain, "it may have been let in, and must keep its keys"


@pytest.mark.parametrize(
    ("kind", "chain"),
    [
        ("other-mesh", lambda body: Authority(seed=50).chain(body.peer, body.curve)),
        ("expired", lambda body: Authority().chain(body.peer, body.curve, ends_in_s=-1000)),
        ("bad-answer", lambda body: Authority().chain(b"x" * 32, body.curve)),
        ("malformed", lambda body: b"\xc1"),
    ],
)
async def test_a_credential_that_admits_nobody_is_not_taken_home(
    kind: str, chain: Callable[[object], bytes]
) -> None:
    anna = keeper(lambda one, said: Welcome(chain(decode_body(said)), "ours", ()))
    async with anna.up():
        assert (await failure(token(anna))).kind == kind


async def test_a_join_with_a_key_that_knocks_too_often_is_not_looked_at() -> None:
    keys = CurveKeys(KEYS.curve_public, KEYS.curve_secret)
    asked: list[Join] = []
    anna = keeper()
    anna.take_join = lambda curve, said, reply: asked.append(said)
    async with anna.up(), knocker(keys, anna) as knocking:
        said = encode(Join(b"anything", bytes(64), bytes(64)))
        for _ in range(HELLOS_PER_KEY_LIMIT + 1):
            knocking.send(said)
        knocking.send(b"\xc1")
        assert await knocking.is_left_unanswered()
        assert len(asked) == HELLOS_PER_KEY_LIMIT
        assert anna.transport.counters().door.ignored == 2
