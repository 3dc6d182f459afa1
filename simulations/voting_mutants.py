"""Guards of voting, taken out one at a time; see `mutants.py`."""

import contextlib
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from protocols.effects import Persist
from protocols.machine import Now
from protocols.voting import ballot, chain, marks, settling, standing
from protocols.voting.ballot_messages import CastRecord
from protocols.voting.ballot_return import BallotReturn
from protocols.voting.balloting import Balloting
from protocols.voting.ballots import Ballots
from protocols.voting.height import HeightWay
from protocols.voting.log_return import LogReturn
from protocols.voting.marks import FINALISE, NULLIFY, Mark
from protocols.voting.proofs import Proofs
from protocols.voting.roll import ROLL_DOMAIN, Roll
from protocols.voting.settlements import Way
from protocols.voting.settling import Settlement
from protocols.voting.succession import Succession
from simulations.keyrings import SimulatedKeyring

Patch = contextlib.AbstractContextManager[Any]


class _All:
    """Several patches as one."""

    def __init__(self, *patches: Patch) -> None:
        self._patches = patches
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> None:
        for each in self._patches:
            self._stack.enter_context(each)

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _nothing(*_: object, **__: object) -> None:
    """Instead of a guard that acts."""


def _two_f_and_one() -> Patch:
    def quorum(count: int) -> int:
        return 2 * ((count - 1) // 3) + 1

    return _All(*(patch.object(each, "quorum", quorum) for each in (settling, marks, standing)))


def _ends_a_view_twice() -> Patch:
    """S3, with the assertion that would tell."""

    def may_nullify(self: Settlement) -> bool:
        return (self.view, NULLIFY) not in self._mine and self._out.may_sign()

    def finalise(self: Settlement, view: int, now: Now) -> None:
        if not self.is_settled and (view, FINALISE) not in self._mine and self._out.may_sign():
            self._sign(view, FINALISE, self._proofs.notarised[view].digest, b"", now)

    return _All(
        patch.object(Settlement, "_may_nullify", may_nullify),
        patch.object(Settlement, "_finalise", finalise),
        patch.object(settling, "opposite_of", lambda _: ""),
        patch.object(Settlement, "check", _nothing),
    )


def _answers_are_not_written() -> Patch:
    say = Ballots._say  # noqa: SLF001  # the guard that is taken out

    def forgetful(self: Ballots, *arguments: Any) -> None:
        say(self, *arguments)
        self._effects[:] = [
            effect
            for effect in self._effects
            if not (isinstance(effect, Persist) and isinstance(effect.record, CastRecord))
        ]

    return patch.object(Ballots, "_say", forgetful)


def _marks_of_any_instance() -> Patch:
    def mark(epoch: int, instance: bytes, view: int, phase: str, digest: bytes) -> Mark:
        return Mark(epoch, b"-", view, phase, digest)

    return _All(patch.object(settling, "Mark", mark), patch.object(marks, "Mark", mark))


def _one_signer_twice() -> Patch:
    blind = SimpleNamespace(pairwise=lambda _: (), islice=itertools.islice)
    return patch.object(marks, "itertools", blind)


def _anybody_signs_a_roll() -> Patch:
    verify = SimulatedKeyring.verify

    def believing(
        self: SimulatedKeyring, domain: str, author: bytes, body: bytes, signature: bytes
    ) -> bool:
        return domain == ROLL_DOMAIN or verify(self, domain, author, body, signature)

    return patch.object(SimulatedKeyring, "verify", believing)


def _signs_at_once() -> Patch:
    return _All(
        patch.object(BallotReturn, "may_sign", lambda *_: True),
        patch.object(LogReturn, "may_sign", lambda *_: True),
    )


def _follows_at_once() -> Patch:
    follow = Succession.follow

    def hasty(self: Succession, bundle: bytes) -> Roll | None:
        found = follow(self, bundle)
        if self.later:
            self.switch(bundle)
        return found

    return patch.object(Succession, "follow", hasty)


_EQUIVOCATOR, _NOTARY = ("byzantine-equivocator",), ("byzantine-notary",)

VOTING_MUTANTS: tuple[tuple[str, Callable[[], Patch], tuple[str, ...]], ...] = (
    ("a quorum of 2f + 1, of any number of electors", _two_f_and_one, _EQUIVOCATOR),
    ("an elector finalises a view that it has nullified", _ends_a_view_twice, ("voting",)),
    (
        "an elector notarises anew what others may have settled",
        lambda: patch.object(Proofs, "are_nullified", lambda *_: True),
        _EQUIVOCATOR,
    ),
    (
        "marks of ballots are not written before they are said",
        lambda: patch.object(Way, "write", _nothing),
        ("voting",),
    ),
    (
        "marks of the log are not written before they are said",
        lambda: patch.object(HeightWay, "write", _nothing),
        ("voting",),
    ),
    ("an answer is not written before it is said", _answers_are_not_written, ("voting",)),
    ("marks name no instance", _marks_of_any_instance, ("byzantine-plagiarist",)),
    (
        "an answer of a voter needs no signature",
        lambda: patch.object(ballot, "is_signed", lambda *_: True),
        ("byzantine-plagiarist",),
    ),
    (
        "one signer of a proof is counted twice",
        _one_signer_twice,
        _NOTARY,
    ),
    ("an electorate vouches for itself", _anybody_signs_a_roll, _NOTARY),
    (
        "a block of the log needs no proof",
        lambda: patch.object(chain, "is_proof", lambda *_: True),
        _NOTARY,
    ),
    (
        "an elector signs before others have told what it signed",
        _signs_at_once,
        ("voting-restored",),
    ),
    (
        "a certificate is proven by the electors of today",
        lambda: patch.object(Balloting, "_bundle_of", lambda self, _: self.bundle),
        ("voting-changes",),
    ),
    ("other electors are followed before the log has them", _follows_at_once, ("voting-changes",)),
)
