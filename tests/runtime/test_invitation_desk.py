"""The desk between socket, door and core: who is asked, who is answered, and who signs when."""

from collections.abc import Callable, Sequence

import msgspec
import pytest
import trio

from mesh.runtime.door import TurnedAway
from mesh.runtime.invitation_desk import JOINS_LIMIT, JOINS_WINDOW_NS, InvitationDesk
from protocols.effects import Emit
from protocols.errors import ConfigurationError, Refused
from protocols.identity import Ed25519Keyring
from protocols.invitations.events import InvitationRedeemed
from protocols.invitations.invitations import Invitations
from protocols.invitations.messages import Join, Seed, Welcome
from protocols.invitations.token import invitation_keyring
from protocols.machine import SECOND_NS, Now
from tests.protocols.invitations.town import MESH, WALL_S, Newcomer

SECRET = b"s" * 16
KEY = invitation_keyring(SECRET, MESH).peer
ANNA = Newcomer(1, "anna")
HERE = Seed(b"h" * 32, "tcp://10.0.0.1:7400", b"k" * 32)


class StillDisk:
    """A driver whose records become durable when told: the machine, and what it would tell."""

    def __init__(self) -> None:
        self.now = Now(SECOND_NS, WALL_S * SECOND_NS)
        self.machine = Invitations(MESH, Ed25519Keyring(b"k" * 32, MESH))
        self.waiting: list[msgspec.Struct] = []
        self.submitted = trio.Event()

    def submit(self, command: msgspec.Struct) -> None:
        for effect in self.machine.submit(command, self.now):
            if isinstance(effect, Emit):
                self.waiting.append(effect.event)
        self.submitted.set()


class Place:
    """What a desk knows of its peer."""

    def __init__(self) -> None:
        self.is_issuer = True
        self.failure = ""
        self.names: dict[str, bytes] = {}
        self.outcasts: list[bytes] = []
        self.signed: list[tuple[bytes, bytes]] = []

    def may_issue(self) -> bool:
        return self.is_issuer

    def sign(self, peer: bytes, curve: bytes, roles: Sequence[str]) -> bytes:
        if self.failure:
            raise ConfigurationError(self.failure)
        self.signed.append((peer, curve))
        return b"chain"

    def is_taken(self, name: str, peer: bytes) -> bool:
        return self.names.get(name, peer) != peer

    def is_outcast(self, peer: bytes) -> bool:
        return peer in self.outcasts

    def seeds(self) -> tuple[Seed, ...]:
        return (HERE,)

    def mesh_name(self) -> str:
        return "ours"


class Scene:
    def __init__(self) -> None:
        self.disk, self.place = StillDisk(), Place()
        self.desk = InvitationDesk(self.disk, self.place, lambda: self.disk.now)
        self.answers: list[Welcome | TurnedAway] = []

    def sync(self) -> None:
        """What waited becomes durable, and is told."""
        told, self.disk.waiting = self.disk.waiting, []
        for event in told:
            self.desk.notify(event)

    async def invite(self, **arguments: object) -> dict[str, object]:
        wanted = {"key": KEY.hex(), "valid_s": 900, **arguments}
        told: dict[str, object] = {}

        async def ask() -> None:
            told.update(await self.desk.invite(wanted))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await self.disk.submitted.wait()
            assert told == {}, "nothing is told before it is on disk"
            self.sync()
        return told

    def come(self, join: Join | None = None, curve: bytes = ANNA.curve) -> None:
        self.desk.come(curve, join or ANNA.join(SECRET), self.answers.append)

    def refusal(self) -> str:
        answer = self.answers.pop()
        assert isinstance(answer, TurnedAway)
        return answer.kind


@pytest.fixture
async def scene() -> Scene:
    made = Scene()
    await made.invite()
    return made


async def test_an_invitation_is_told_once_it_is_on_disk() -> None:
    told = await Scene().invite()
    assert told == {
        "doors": ["tcp://10.0.0.1:7400"],
        "door_key": HERE.curve.hex(),
        "not_after": WALL_S + 900,
    }


async def test_a_credential_is_signed_only_once_the_use_is_on_disk(scene: Scene) -> None:
    scene.come()
    assert (scene.answers, scene.place.signed) == ([], [])
    scene.sync()
    assert scene.place.signed == [(ANNA.keyring.peer, ANNA.curve)]
    assert scene.answers == [Welcome(b"chain", "ours", (HERE,))]


async def test_what_the_machine_refuses_the_door_says(scene: Scene) -> None:
    scene.come(ANNA.join(b"g" * 16))
    assert scene.refusal() == "unknown-invitation"


async def test_a_name_of_a_live_member_is_taken_and_does_not_cost_the_token(scene: Scene) -> None:
    scene.place.names = {"anna": b"somebody else"}
    scene.come()
    assert scene.refusal() == "name-taken"
    scene.place.names = {"anna": ANNA.keyring.peer}
    scene.come()
    scene.sync()
    assert isinstance(scene.answers.pop(), Welcome)


async def test_a_revoked_newcomer_is_refused_and_its_token_admits_another(scene: Scene) -> None:
    scene.place.outcasts = [ANNA.keyring.peer]
    scene.come()
    assert scene.refusal() == "revoked"
    ben = Newcomer(2, "ben")
    scene.come(ben.join(SECRET), ben.curve)
    scene.sync()
    assert scene.place.signed == [(ben.keyring.peer, ben.curve)]


async def test_who_is_revoked_while_its_use_is_written_gets_no_credential(scene: Scene) -> None:
    scene.come()
    scene.place.outcasts = [ANNA.keyring.peer]
    scene.sync()
    assert (scene.refusal(), scene.place.signed) == ("revoked", [])


async def test_a_peer_that_is_no_issuer_says_so_at_once() -> None:
    scene = Scene()
    scene.place.is_issuer = False
    with pytest.raises(Refused, match="cannot sign credentials") as refused:
        await scene.desk.invite({"key": KEY.hex(), "valid_s": 900})
    assert refused.value.kind == "NotAnIssuer"
    scene.come()
    assert scene.refusal() == "no-issuer"


async def test_an_issuers_key_that_broke_meanwhile_is_told(scene: Scene) -> None:
    scene.place.failure = "the issuer-key is damaged"
    scene.come()
    scene.sync()
    assert scene.refusal() == "no-issuer"


async def test_who_has_no_token_keeps_nobody_out(scene: Scene) -> None:
    for _ in range(JOINS_LIMIT + 1):
        scene.come(ANNA.join(b"g" * 16))
        assert scene.refusal() == "unknown-invitation"
    scene.come()
    scene.sync()
    assert isinstance(scene.answers.pop(), Welcome)


async def test_so_many_proofs_are_verified_in_a_while(scene: Scene) -> None:
    for _ in range(JOINS_LIMIT):
        scene.come(ANNA.join(SECRET, wall_s=0))
        assert scene.refusal() == "clock-off"
    scene.come()
    assert scene.refusal() == "busy"
    now = scene.disk.now
    scene.disk.now = Now(now.monotonic_ns + JOINS_WINDOW_NS, now.wall_ns)
    scene.come()
    scene.sync()
    assert isinstance(scene.answers.pop(), Welcome)


WRONG: list[Callable[[], object]] = [
    lambda: None,
    lambda: "key",
    lambda: {"key": "00", "valid_s": 1},
    lambda: {"key": KEY.hex(), "valid_s": -1},
    lambda: {"key": KEY.hex(), "valid_s": 1, "more": 1},
]


@pytest.mark.parametrize("arguments", WRONG)
async def test_wrong_arguments_are_refused(arguments: Callable[[], object]) -> None:
    with pytest.raises(Refused, match="InvalidInput"):
        await Scene().desk.invite(arguments())


async def test_who_went_away_before_the_answer_is_nobody_to_answer(scene: Scene) -> None:
    scene.desk.notify(InvitationRedeemed(99, KEY, ANNA.keyring.peer, ANNA.curve, "anna"))
    assert scene.answers == []
