"""What a restarted elector asks and is told, and evidence: frozen, for two releases may meet."""

import msgspec
import pytest

from protocols.voting.answers import SignedAnswer
from protocols.voting.evidence import EvidenceRecord, EvidenceShown
from protocols.voting.standing import StandingRecord
from protocols.voting.standing_messages import (
    BarRecord,
    Enquiry,
    LogEnquiry,
    LogSeen,
    Seen,
    SeenBallot,
    SeenMark,
    SeenRequest,
)
from protocols.wire import encode

PEER, SIGNATURE = b"\x02" * 32, b"\x01" * 64
MARK = SeenMark(3, "finalise", b"\x03" * 32, SIGNATURE)
FROZEN: list[tuple[msgspec.Struct, str]] = [
    (
        Enquiry(7),
        "92ae766f74696e672e656e717569727907",
    ),
    (
        Seen(
            7,
            (SeenBallot(b"r", (SignedAnswer(b"\x04" * 32, -1, SIGNATURE),), (MARK,)),),
            (SeenRequest(b"r", SIGNATURE),),
        ),
        "94ab766f74696e672e7365656e079193c401729193c42004040404040404040404040404040404040404"
        "04040404040404040404040404ffc4400101010101010101010101010101010101010101010101010101"
        "0101010101010101010101010101010101010101010101010101010101010101010101010101919403a8"
        "66696e616c697365c4200303030303030303030303030303030303030303030303030303030303030303"
        "c44001010101010101010101010101010101010101010101010101010101010101010101010101010101"
        "0101010101010101010101010101010101010101010101019192c40172c4400101010101010101010101"
        "010101010101010101010101010101010101010101010101010101010101010101010101010101010101"
        "0101010101010101010101",
    ),
    (
        LogEnquiry(7),
        "92b2766f74696e672e6c6f672d656e717569727907",
    ),
    (
        LogSeen(7, 300, (MARK,)),
        "94af766f74696e672e6c6f672d7365656e07cd012c919403a866696e616c697365c42003030303030303"
        "03030303030303030303030303030303030303030303030303c440010101010101010101010101010101"
        "010101010101010101010101010101010101010101010101010101010101010101010101010101010101"
        "01010101010101",
    ),
    (
        EvidenceShown(PEER, b"e"),
        "93b5766f74696e672e65766964656e63652d73686f776ec4200202020202020202020202020202020202"
        "020202020202020202020202020202c40165",
    ),
    (
        EvidenceRecord(PEER, b"e", 5),
        "94af766f74696e672e65766964656e6365c4200202020202020202020202020202020202020202020202"
        "020202020202020202c4016505",
    ),
    (
        StandingRecord(True, 9),
        "93af766f74696e672e7374616e64696e67c309",
    ),
    (
        BarRecord(PEER, 5),
        "93aa766f74696e672e626172c42002020202020202020202020202020202020202020202020202020202"
        "0202020205",
    ),
]


@pytest.mark.parametrize(("message", "frozen"), FROZEN, ids=lambda each: type(each).__name__)
def test_its_bytes_never_change(message: msgspec.Struct, frozen: str) -> None:
    assert encode(message).hex() == frozen
    assert msgspec.msgpack.decode(bytes.fromhex(frozen), type=type(message)) == message
