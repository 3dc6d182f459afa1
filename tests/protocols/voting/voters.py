"""Electors with keys of their own, and ballots among them, for tests."""

from protocols.identity import Ed25519Keyring
from protocols.machine import MILLISECOND_NS, SECOND_NS, Now
from protocols.voting.answers import Answered, SignedAnswer, encode_set, sign_answer
from protocols.voting.ballot import Ballot
from protocols.voting.normalising import choice_of, normalised, number
from protocols.voting.requests import Request, ballot_id, question_hash
from protocols.wire import encode

MESH = b"m" * 32
CLOSE_NS = 10 * SECOND_NS
SLACK_NS = 400 * MILLISECOND_NS


def keyrings(count: int) -> list[Ed25519Keyring]:
    """So many keyrings of one mesh, always the same."""
    return [Ed25519Keyring(bytes([index + 1]) * 32, MESH) for index in range(count)]


def request(rule: str = "majority", epoch: int = 1, number: int = 1) -> Request:
    """A request that asks for a review."""
    folding = "number" if rule == "median" else "text"
    return Request(
        epoch, b"o" * 32, number, "review", "1", question_hash(b"\x80"), rule, folding, b"",
        0, 10_000, 60_000,
    )  # fmt: skip


def at(seconds: float) -> Now:
    """An instant."""
    return Now(round(seconds * SECOND_NS), 10**18 + round(seconds * SECOND_NS))


def choice(answer: object) -> bytes:
    """The choice of an answer; a number's where it is one, none for None."""
    if answer is None:
        return b""
    if isinstance(answer, int | float):
        return number(answer)
    return choice_of(normalised(answer))


class Booth:
    """A ballot among n electors, as one of them sees it."""

    def __init__(self, n: int, rule: str = "majority") -> None:
        self.keyrings = keyrings(n)
        self.electors = [keyring.peer for keyring in self.keyrings]
        self.request = request(rule)
        self.id = ballot_id(encode(self.request))
        self.down: set[int] = set()
        self.ballot = Ballot(
            self.request, self.id, self.electors, range(n), self.keyrings[0], CLOSE_NS,
            lambda peer: self.electors.index(peer) in self.down,
        )  # fmt: skip

    def answer(self, voter: int, said: object, confidence: int = -1) -> SignedAnswer:
        """What a voter signs."""
        return sign_answer(self.keyrings[voter], 1, self.id, choice(said), confidence)

    def hear(self, voter: int, said: object, seconds: float = 0.0) -> str:
        """The elector hears an answer."""
        return self.ballot.hear(voter, self.answer(voter, said), at(seconds))

    def payload(self, said: dict[int, object]) -> bytes:
        """A set of one answer a voter."""
        return encode_set([Answered(v, (self.answer(v, one),)) for v, one in said.items()])

    def accepts(self, payload: bytes, seconds: float, nullified: int = 0) -> bool | None:
        """Whether the elector would settle a set."""
        return self.ballot.accepts(1 + nullified, payload, b"", nullified, at(seconds))
