"""Ballots: one outcome, of answers that were signed, certified only where it is true.

Invariants:
    ballot-agreement: no two certificates of one ballot differ in what was settled.
    certificate-soundness: every certificate is proven by the electorate alone (`auditing.py`).
    ballot-validity: an honest voter's answer is one that its own agents gave, and what is
        certified is so among honest voters, as far as the rule claims.
    one-signature: no honest elector signs against itself, whatever its process went through.

Electors whose disks have forgotten what was synced are held to all but `one-signature`: they may
sign once more where no quorum has seen what they signed, and must not be blamed for it. Where
more electors lie than the protocol bears, nothing is claimed.
"""

import contextlib

import msgspec

from protocols.voting.ballot_commands import AnswerCast, BallotDecided, CastAnswer
from protocols.voting.ballot_messages import Question, Vote
from protocols.voting.log_messages import LogMark, LogProposal
from protocols.voting.normalising import NoAnswer, choice_of, normalised, number
from protocols.voting.panels import panel_of
from protocols.voting.rules import number_of
from protocols.voting.settlement_messages import MarkSaid, Proposal
from simulations.auditing import (
    FINALISE,
    NULLIFY,
    Audited,
    Electorate,
    audit,
    ballot_of,
    payload_digest,
)
from simulations.observations import DiskForgot, Sent
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World

ABSTAINED = b""
NOTARISE = "notarise"


def _choices(value: bytes) -> frozenset[bytes]:
    """What an agent's output may be as a choice."""
    if not value:
        return frozenset((ABSTAINED,))
    answer, choices = msgspec.msgpack.decode(value), {ABSTAINED}
    with contextlib.suppress(NoAnswer):
        choices.add(choice_of(normalised(answer)))
    with contextlib.suppress(NoAnswer):
        choices.add(number(answer))
    return frozenset(choices)


class BallotsAreSound:
    """Every certificate that an honest peer takes, against what voters really said."""

    hears = (BallotDecided, AnswerCast, CastAnswer, DiskForgot)

    def __init__(self, electorate: Electorate) -> None:
        self._electorate = electorate
        self._outcomes: dict[bytes, tuple[bytes, str, bytes, int]] = {}
        self._audited: dict[bytes, Audited] = {}
        self._given: dict[tuple[bytes, bytes], frozenset[bytes]] = {}
        """What agents said, by ballot and voter."""
        self._cast: dict[tuple[bytes, bytes], bytes] = {}
        """What was signed, by ballot and voter."""

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Takes note of answers, and judges what is decided."""
        match event:
            case DiskForgot(is_synced=True):
                self._electorate.forgetful[peer.peer] = None
            case CastAnswer():
                key = (event.ballot, peer.peer)
                self._given[key] = self._given.get(key, frozenset()) | _choices(event.value)
            case AnswerCast():
                self._cast[event.ballot, peer.peer] = event.choice
            case BallotDecided() if peer.liar is None and self._electorate.is_sound(world):
                self._decided(world, peer, event)

    def _decided(self, world: World, peer: SimulatedPeer, event: BallotDecided) -> None:
        file = event.certificate
        found = self._audited.get(file)
        if found is None:
            found = self._audited[file] = audit(world, self._electorate, file)
            self._judge(world, found)
        if (found.ballot, found.status, found.margin) != (event.ballot, event.status, event.margin):
            raise Violation(f"certificate-soundness: {peer.name} reads it otherwise")
        if self._outcomes.setdefault(found.ballot, found.outcome) != found.outcome:
            raise Violation(f"ballot-agreement: {peer.name} holds another outcome than before")
        world.coverage[f"a ballot is {event.status}"] += 1

    def _judge(self, world: World, found: Audited) -> None:
        electors = found.electors
        bad = {each for each in electors if world.by_id[each].liar is not None}
        honest: dict[bytes, bytes] = {}
        for elector, choices in found.answers:
            voter = electors[elector]
            if voter in bad:
                continue
            if len(choices) != 1:
                raise Violation(f"one-signature: {world.by_id[voter].name} answered twice")
            given = self._given.get((found.ballot, voter), frozenset())
            if choices[0] not in given | {ABSTAINED}:
                name = world.by_id[voter].name
                raise Violation(f"ballot-validity: {name} never said what it is counted with")
            honest[voter] = choices[0]
        panel = panel_of(found.ballot, len(electors), found.panel)
        voters = [electors[place] for place in panel]
        for voter in voters:
            signed = self._cast.get((found.ballot, voter))
            if voter not in bad and signed is not None:
                honest.setdefault(voter, signed)
        if len(honest) < len(voters):
            world.coverage["a ballot without some of its voters"] += 1
        lying = sum(voter in bad for voter in voters)
        if found.status == "certified" and lying <= (len(voters) - 1) // 3:
            _check_support(found, [said for said in honest.values() if said != ABSTAINED])

    def finish(self, world: World) -> None:
        """Nothing is left to say."""


def _check_support(found: Audited, honest: list[bytes]) -> None:
    """What the rule claims of an outcome is so among the honest answers."""
    for_it = honest.count(found.choice)
    if found.rule == "median":
        numbers = sorted(map(number_of, honest))
        is_so = bool(numbers) and numbers[0] <= number_of(found.choice) <= numbers[-1]
    elif found.rule == "unanimous":
        is_so = 0 < for_it == len(honest)
    elif found.rule == "supermajority:2/3":
        is_so = for_it > 0 and 3 * for_it >= 2 * len(honest)
    else:
        is_so = all(for_it > honest.count(other) for other in honest if other != found.choice)
        is_so = is_so and for_it > 0
    if not is_so:
        counts = [honest.count(each) for each in sorted(set(honest))]
        raise Violation(f"ballot-validity: certified by {found.rule} with {for_it} of {counts}")


class NobodySignsAgainstItself:
    """Marks and answers of honest electors, as they leave, over all lives of their processes."""

    hears = (Question, Vote, MarkSaid, Proposal, LogMark, LogProposal)

    def __init__(self, electorate: Electorate) -> None:
        self._electorate = electorate
        self._signed: dict[tuple[object, ...], tuple[object, ...]] = {}
        self._last: tuple[bytes, msgspec.Struct] | None = None
        self._epochs: dict[bytes, int] = {}
        """Of ballots: what is said in one names it, and it names its electors' epoch."""

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Compares what is signed with what was signed before."""
        assert isinstance(event, Sent)
        message, me = event.message, peer.peer
        if isinstance(message, Question):
            epoch = msgspec.msgpack.decode(message.request)[1]
            self._epochs[ballot_of(message.request)] = epoch
            return
        is_forgetful = me in self._electorate.forgetful
        if peer.liar is not None or is_forgetful or self._last == (me, message):
            return  # a broadcast is seen once for each receiver
        self._last = (me, message)
        assert isinstance(message, Vote | MarkSaid | Proposal | LogMark | LogProposal)
        if isinstance(message, LogMark | LogProposal):
            epoch = message.epoch
        else:
            epoch = self._epochs.get(message.ballot, 0)
        electors = self._electorate.rolls.get(epoch, ())
        if me not in electors:
            return
        seat = electors.index(me)
        match message:
            case Vote() if message.elector == seat:
                answer = message.answer
                self._note(peer, (message.ballot, "answer"), (answer.choice, answer.confidence))
            case MarkSaid() if message.elector == seat:
                self._mark(peer, message.ballot, message.view, message.phase, message.digest)
            case LogMark() if message.elector == seat:
                height = (epoch, message.height)
                self._mark(peer, height, message.view, message.phase, message.digest)
            case Proposal():
                digest = payload_digest(message.payload)
                self._mark(peer, message.ballot, message.view, NOTARISE, digest)
            case LogProposal():
                digest = payload_digest(message.payload)
                self._mark(peer, (epoch, message.height), message.view, NOTARISE, digest)

    def _mark(
        self,
        peer: SimulatedPeer,
        instance: bytes | tuple[int, int],
        view: int,
        phase: str,
        digest: bytes,
    ) -> None:
        self._note(peer, (instance, view, phase), (digest,))
        if phase in (FINALISE, NULLIFY):
            self._note(peer, (instance, view, "end"), (phase,))

    def _note(
        self, peer: SimulatedPeer, what: tuple[object, ...], said: tuple[object, ...]
    ) -> None:
        before = self._signed.setdefault((peer.peer, *what), said)
        if before != said:
            raise Violation(f"one-signature: {peer.name} signs {said} after {before} in {what}")

    def finish(self, world: World) -> None:
        """Nothing is left to say."""
