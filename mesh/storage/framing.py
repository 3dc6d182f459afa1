"""One row of the journal: a checksum, then the records as one MessagePack list.

The checksum starts from the row's number, so that a row in another's place is
as wrong as a damaged one. CRC-32 is against rot, not against people: whoever
can write the file holds the peer's keys as well.
"""

import zlib

import msgspec

CHECKSUM_BYTES = 4

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[bytes]).decode


def encode_row(number: int, records: list[bytes]) -> bytes:
    """The row that holds these records under this number."""
    body = _encode(records)
    return zlib.crc32(body, number & 0xFFFFFFFF).to_bytes(CHECKSUM_BYTES, "big") + body


def decode_row(number: int, row: object) -> list[bytes]:
    """The records of a row.

    Raises:
        ValueError: the row is not what was written under this number; says why.
    """
    if not isinstance(row, bytes) or len(row) < CHECKSUM_BYTES:
        raise ValueError("it holds no framed records")
    body = row[CHECKSUM_BYTES:]
    if zlib.crc32(body, number & 0xFFFFFFFF) != int.from_bytes(row[:CHECKSUM_BYTES], "big"):
        raise ValueError("its checksum is wrong")
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"it does not decode: {error}") from None
