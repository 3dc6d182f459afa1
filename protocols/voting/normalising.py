"""Free answers made comparable: two answers are the same vote where these bytes are the same.

A voter normalises its own answer, and nobody else's: the choice that it signs is a hash
of the result, and the text travels beside it. So peers whose tables of Unicode differ
agree about every vote; at worst, two answers that one of them would fold are two choices.

    exact   canonical MessagePack: keys sorted, shortest forms, whole floats as integers
    text    besides, in every text: NFKC, case folded, blanks collapsed, no full stop,
            exclamation or question mark at the end

A number is rounded to micro-units, halves to the even one. Nothing here looks inside an answer for
its meaning: what is the same in other words is another choice.
"""

import hashlib
import math
import unicodedata
from collections.abc import Mapping, Sequence

from protocols.voting.rules import number_choice, number_of
from protocols.wire import encode

EXACT, TEXT = "exact", "text"
FOLDINGS = (EXACT, TEXT)
ANSWER_LIMIT = 4096
"""Bytes of a normalised answer; who answers at greater length abstains."""
DEPTH_LIMIT = 32
ANSWER_DOMAIN = b"stigmesh/voting.answer/1\x00"
MICRO = 1_000_000
INTEGER_LIMIT = 2**63
WHOLE_LIMIT = float(2**53)
"""Up to here a float that is whole is the integer that it looks like."""


class NoAnswer(ValueError):
    """What was said is no vote; the message says why."""


def choice_of(text: bytes) -> bytes:
    """The 32 bytes that stand for a normalised answer in a vote."""
    return hashlib.sha256(ANSWER_DOMAIN + text).digest()


def normalised(answer: object, folding: str = TEXT) -> bytes:
    """An answer in the one form that it is compared in.

    Args:
        answer: what a skill returned: plain values.
        folding: ``exact`` or ``text``.

    Raises:
        NoAnswer: nothing was said, or it is too long, too deep or no plain value.
    """
    if answer is None:
        raise NoAnswer("the answer is empty: its voter abstains")
    encoded = encode(_plain(answer, folding == TEXT, 0))
    if len(encoded) > ANSWER_LIMIT:
        raise NoAnswer(f"an answer of {len(encoded)} bytes is over {ANSWER_LIMIT}")
    return encoded


def option(answer: object, options: Sequence[bytes], folding: str = TEXT) -> bytes:
    """A normalised answer that must be one of the options, where there are any.

    Raises:
        NoAnswer: it is none of them, or no answer at all.
    """
    text = normalised(answer, folding)
    if options and text not in options:
        raise NoAnswer("the answer is none of the options")
    return text


def number(answer: object) -> bytes:
    """The choice of a number, for the median.

    Raises:
        NoAnswer: it is none, or too great.
    """
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        raise NoAnswer("the answer is no number")
    if isinstance(answer, float) and not math.isfinite(answer):
        raise NoAnswer("the answer is no finite number")
    try:
        return number_choice(answer * MICRO if isinstance(answer, int) else round(answer * MICRO))
    except (ValueError, OverflowError) as error:
        raise NoAnswer(str(error)) from None


def number_value(choice: bytes) -> int | float:
    """The number behind a choice: an integer where it is whole."""
    whole, rest = divmod(number_of(choice), MICRO)
    return whole if not rest else number_of(choice) / MICRO


def _plain(value: object, folds: bool, depth: int) -> object:
    if depth > DEPTH_LIMIT:
        raise NoAnswer(f"an answer nested deeper than {DEPTH_LIMIT}")
    if isinstance(value, bool) or value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return _folded(value) if folds else value
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, Mapping):
        return _map(value, folds, depth)
    if isinstance(value, list | tuple):
        return [_plain(part, folds, depth + 1) for part in value]
    raise NoAnswer(f"a {type(value).__name__} is no plain value")


def _number(value: int | float) -> int | float:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NoAnswer("the answer holds a number that is not finite")
        return int(value) if value.is_integer() and abs(value) <= WHOLE_LIMIT else value
    if not -INTEGER_LIMIT <= value < 2 * INTEGER_LIMIT:
        raise NoAnswer("the answer holds an integer of more than 64 bits")
    return value


def _map(value: Mapping[object, object], folds: bool, depth: int) -> dict[str, object]:
    if not all(isinstance(key, str) for key in value):
        raise NoAnswer("the answer holds a map with keys that are no text")
    # Keys name fields and are never folded.
    return {str(key): _plain(value[key], folds, depth + 1) for key in sorted(value, key=str)}


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split()).rstrip(".!? ")
