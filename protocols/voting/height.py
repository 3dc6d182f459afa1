"""How the settlement of one height of the log speaks: as effects, to its electors."""

from collections.abc import Callable
from typing import Protocol

from protocols.effects import Blame, Effect, Emit, Persist, Send
from protocols.machine import Now
from protocols.voting.blocks import instance_of
from protocols.voting.log_commands import LogContradicted
from protocols.voting.log_messages import (
    HeightMessage,
    LogMark,
    LogMarkRecord,
    LogProof,
    LogProposal,
)
from protocols.voting.marks import MARK_DOMAIN, Mark, Proof
from protocols.voting.roll import Roll
from protocols.voting.settling import Settlement
from protocols.voting.settling_faces import Said
from protocols.wire import encode


class Trusting(Protocol):
    """Whether this elector may trust its own disk."""

    def may_sign(self, height: int) -> bool:
        """Whether it may sign at a height now."""

    def own_shown(self) -> None:
        """Somebody has shown a mark of its own that its disk did not have."""


class HeightWay:
    """The way out of one height's settlement.

    Attributes:
        height: which one.
        records: this elector's own marks there.
        over: the block that was finalised and its proof, once it is.
    """

    def __init__(
        self,
        height: int,
        roll: Roll,
        me: bytes,
        is_down: Callable[[bytes], bool],
        trust: Trusting,
        effects: list[Effect],
    ) -> None:
        """Takes to whom it speaks, who counts as dead, and whether it may sign."""
        self._trust = trust
        self.height = height
        self.records: list[LogMarkRecord] = []
        self.over: tuple[bytes, Proof] | None = None
        self._roll = roll
        self._me = me
        self._is_down = is_down
        self._effects = effects

    def is_down(self, elector: int) -> bool:
        """Whether an elector counts as dead here."""
        return self._is_down(self._roll.electors[elector])

    def may_sign(self) -> bool:
        """Whether this elector may sign there now."""
        return self._trust.may_sign(self.height)

    def own_shown(self) -> None:
        """A mark of its own that its disk did not have."""
        self._trust.own_shown()

    def write(self, mark: Said, payload: bytes) -> None:
        """On disk, before it is said."""
        record = LogMarkRecord(
            self.height, mark.elector, mark.view, mark.phase, mark.digest, mark.signature, payload
        )
        self.records.append(record)
        self._effects.append(Persist(record, sync=True))

    def say(self, mark: Said) -> None:
        """To all electors."""
        self._to_all(
            LogMark(
                self.height, mark.elector, mark.view, mark.phase, mark.digest, mark.signature,
                self._roll.epoch,
            )
        )  # fmt: skip

    def propose(self, view: int, payload: bytes, signature: bytes, parent: Proof | None) -> None:
        """To all electors."""
        self._to_all(LogProposal(self.height, view, payload, signature, parent, self._roll.epoch))

    def prove(self, proof: Proof, to: int | None) -> None:
        """To one elector, or to all."""
        shown = LogProof(self.height, proof, self._roll.epoch)
        if to is None:
            self._to_all(shown)
        elif self._roll.electors[to] != self._me:
            self._effects.append(Send(self._roll.electors[to], shown))

    def contradiction(self, one: Said, other: Said) -> None:
        """Evidence, and blame."""
        peer, epoch = self._roll.electors[one.elector], self._roll.epoch
        instance = instance_of(epoch, self.height)
        bodies = [
            (encode(Mark(epoch, instance, said.view, said.phase, said.digest)), said.signature)
            for said in (one, other)
        ]
        evidence = encode((MARK_DOMAIN, bodies))
        self._effects.append(Emit(LogContradicted(self.height, peer, evidence)))
        if peer != self._me:
            self._effects.append(Blame(peer, "signed against itself in the log", (evidence,)))

    def settled(self, payload: bytes, proof: Proof) -> None:
        """It is over."""
        self.over = (payload, proof)

    def _to_all(self, message: HeightMessage) -> None:
        for elector in self._roll.electors:
            if elector != self._me:
                self._effects.append(Send(elector, message))


def is_good(instance: Settlement, message: HeightMessage, now: Now) -> bool:
    """Tells an instance what was said; False where nobody signed that."""
    match message:
        case LogMark():
            said = Said(
                message.elector, message.view, message.phase, message.digest, message.signature
            )
            return instance.hear(said, now)
        case LogProposal():
            return instance.hear_proposal(
                message.view, message.payload, message.signature, message.parent, now
            )
        case LogProof():
            return instance.prove(message.proof, now)
