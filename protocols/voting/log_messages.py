"""What electors say to each other about the ordered log, and what they write down."""

from typing import Annotated

import msgspec

from protocols.voting.blocks import BLOCK_LIMIT, SignedOrder
from protocols.voting.ledger import BYTES_LIMIT, Acquire, Release, Renew
from protocols.voting.marks import DigestField, ElectorField, PhaseField, Proof
from protocols.voting.roll import BUNDLE_LIMIT
from protocols.voting.standing import StandingRecord
from protocols.voting.standing_messages import LOG_STANDING_KINDS
from protocols.wire import CountField, Message, SignatureField

BlockField = Annotated[bytes, msgspec.Meta(max_length=BLOCK_LIMIT)]
BundleField = Annotated[bytes, msgspec.Meta(max_length=BUNDLE_LIMIT)]
StateField = Annotated[bytes, msgspec.Meta(max_length=2 * BYTES_LIMIT)]


class OrderSent(Message, frozen=True, array_like=True, tag="voting.order-sent"):
    """An elector asks for something to be put in order."""

    order: SignedOrder


class LogMark(Message, frozen=True, array_like=True, tag="voting.log-mark"):
    """An elector notarises, nullifies or finalises at a height.

    `epoch`, here and below, says in whose settlement of it; 0 in what earlier versions say.
    """

    height: CountField
    elector: ElectorField
    view: CountField
    phase: PhaseField
    digest: DigestField
    signature: SignatureField
    epoch: CountField = 0


class LogProposal(Message, frozen=True, array_like=True, tag="voting.log-proposal"):
    """A leader's block, with its own notarising signature."""

    height: CountField
    view: CountField
    payload: BlockField
    signature: SignatureField
    parent: Proof | None = None
    epoch: CountField = 0


class LogProof(Message, frozen=True, array_like=True, tag="voting.log-proof"):
    """A notarisation, nullification or finalisation at a height."""

    height: CountField
    proof: Proof
    epoch: CountField = 0


class LogWant(Message, frozen=True, array_like=True, tag="voting.log-want"):
    """Who has more than this height?"""

    height: CountField


class LogBlock(Message, frozen=True, array_like=True, tag="voting.log-block"):
    """A finalised block and its proof, for one that lacks it.

    `bundle` is of the electorate that settled it. `state` is empty, or the ledger's state
    before it, which the block has the digest of.
    """

    payload: BlockField
    proof: Proof
    bundle: BundleField
    state: StateField = b""


class LeaseAsk(Message, frozen=True, array_like=True, tag="voting.lease-ask"):
    """A peer that is no elector wants a lease for an exclusive task."""

    request: CountField
    action: Acquire | Renew | Release


class LeaseAnswer(Message, frozen=True, array_like=True, tag="voting.lease-answer"):
    """An elector says what the log made of it.

    `verdict`: ``done``, ``held``, ``ended`` or ``full``; or why it was not put in order:
    ``busy``, ``no-quorum``, ``not-elector`` or ``not-yours``.
    """

    request: CountField
    verdict: Annotated[str, msgspec.Meta(max_length=16)]
    token: CountField = 0
    ends_ms: CountField = 0


HEIGHT_KINDS = (LogMark, LogProposal, LogProof)
LOG_KINDS = (
    OrderSent, *HEIGHT_KINDS, LogWant, LogBlock, LeaseAsk, LeaseAnswer, *LOG_STANDING_KINDS,
)  # fmt: skip
HeightMessage = LogMark | LogProposal | LogProof


class LogMarkRecord(msgspec.Struct, frozen=True, array_like=True, tag="voting.log-mark-record"):
    """A mark of this elector's own, before anybody sees it, and the block that it notarises."""

    height: int
    elector: int
    view: int
    phase: str
    digest: bytes
    signature: bytes
    payload: bytes


class BlockRecord(msgspec.Struct, frozen=True, array_like=True, tag="voting.block-record"):
    """A finalised block, as it would be shown to another."""

    block: LogBlock


class LogElectorateRecord(
    msgspec.Struct, frozen=True, array_like=True, tag="voting.log-electorate"
):
    """Whose log it is: the bundle that the root has signed."""

    bundle: bytes


class LogStateRecord(msgspec.Struct, frozen=True, array_like=True, tag="voting.log-state"):
    """A ledger after some block, at a checkpoint; blocks up to it are only for others."""

    height: int
    head: bytes
    time_ms: int
    state: bytes
    epoch: int = 1


LOG_RECORDS = (LogMarkRecord, BlockRecord, LogElectorateRecord, LogStateRecord, StandingRecord)
