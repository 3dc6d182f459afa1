"""What electors say to each other while a set is settled, and write down before they say it."""

from typing import Annotated

import msgspec

from protocols.voting.marks import DigestField, ElectorField, PhaseField, Proof
from protocols.voting.requests import HashField
from protocols.wire import CountField, Message, SignatureField

PAYLOAD_LIMIT = 6 * 1024


class MarkSaid(Message, frozen=True, array_like=True, tag="voting.mark-said"):
    """An elector notarises, nullifies or finalises."""

    ballot: HashField
    elector: ElectorField
    view: CountField
    phase: PhaseField
    digest: DigestField
    signature: SignatureField


class Proposal(Message, frozen=True, array_like=True, tag="voting.proposal"):
    """A leader's payload, with its own notarising signature; whoever has it may pass it on."""

    ballot: HashField
    view: CountField
    payload: Annotated[bytes, msgspec.Meta(max_length=PAYLOAD_LIMIT)]
    signature: SignatureField
    parent: Proof | None = None
    """The notarisation of an earlier view whose payload is proposed again."""


class ProofShown(Message, frozen=True, array_like=True, tag="voting.proof"):
    """A notarisation, nullification or finalisation."""

    ballot: HashField
    proof: Proof


SETTLEMENT_KINDS = (MarkSaid, Proposal, ProofShown)


class MarkRecord(msgspec.Struct, frozen=True, array_like=True, tag="voting.mark-record"):
    """A mark of this elector's own, before anybody sees it, and the payload that it notarises."""

    ballot: bytes
    elector: int
    view: int
    phase: str
    digest: bytes
    signature: bytes
    payload: bytes
