"""What gossip wrote, read back."""

from collections.abc import Iterable, Iterator

import msgspec

from protocols.errors import StorageCorrupt
from protocols.gossip.messages import MemberRecord
from protocols.gossip.oneself import Oneself
from protocols.gossip.records import (
    AcquaintanceLost,
    AcquaintanceMade,
    IncarnationsReserved,
    StatementKept,
)
from protocols.gossip.roster import Roster
from protocols.statements import Statement, decode_statement
from protocols.trust import Trust
from protocols.wire import Signed

_record_decoder = msgspec.msgpack.Decoder(MemberRecord)


def durable(oneself: Oneself, roster: Roster, trust: Trust) -> Iterator[msgspec.Struct]:
    """The reserved incarnations, what authorities stated, and whom to turn to after a restart."""
    if oneself.incarnations.reserved:
        yield IncarnationsReserved(oneself.incarnations.reserved)
    for envelope in trust.statements.values():
        yield StatementKept(envelope)
    for envelope in roster.acquaintances.values():
        yield AcquaintanceMade(envelope)


def restore(
    records: Iterable[msgspec.Struct], oneself: Oneself, roster: Roster, trust: Trust
) -> None:
    """Takes back what was on disk.

    Raises:
        StorageCorrupt: a record is not one of gossip's.
    """
    for record in records:
        match record:
            case IncarnationsReserved():
                oneself.incarnations.restore(record.last)
            case AcquaintanceMade():
                roster.restore_acquaintance(_stored(record.envelope), record.envelope)
            case AcquaintanceLost():
                roster.forget_acquaintance(record.peer, restoring=True)
            case StatementKept():
                trust.restore(_stated(record.envelope), record.envelope)
            case _:
                raise StorageCorrupt(f"gossip wrote no {type(record).__name__}")


def _stored(envelope: Signed) -> MemberRecord:
    try:
        return _record_decoder.decode(envelope.body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StorageCorrupt(f"a stored member record does not decode: {error}") from None


def _stated(envelope: Signed) -> Statement:
    said = decode_statement(envelope)
    if said is None:
        raise StorageCorrupt(f"a stored statement does not decode: {envelope.domain}")
    return said
