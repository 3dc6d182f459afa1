"""What a set of answers says: who has won, and how sure that is.

A ballot has n voters, of whom at most f lie, and a finalised set S of answers: a choice,
or none (an abstention, or two votes that contradict each other). A vote that is not in
S may be anybody's. Whatever the liars do:

- a choice with f + 1 votes has an honest supporter (no winner has fewer);
- a choice with q votes has a strict majority of the honest voters (`quorum.py`);
- a choice that leads every rival, one without votes included, by more than
  ``f + (n - |S|)`` is what honest voters really prefer: f of its votes may be lies,
  and each voter left out may be an honest supporter of the rival.

`certified` says that such a proof exists for what the rule claims, `leaning` that the
rule names a winner without one, `undecided` that it names none.

    majority        more than half of the votes cast; certified by the lead
    supermajority   a share α > 1/2 of the votes cast. Against fakes (the usual): certified
                    where the share of honest voters is α in all worlds. Against vetoes:
                    certified where it is α in some world, and the lead proves the preference.
                    No rule is proof against both: liars push either way
    unanimous       nobody cast another vote; certified where all n answered, because one
                    left out may differ
    median          of numbers, without the f least and f greatest; certified where any are
                    left, and then it lies between two honest voters' values

Integers only. A vote weighs one; what confidence a voter states changes nothing here.
Checked by brute force over all worlds for n from 4 to 10: `tests/properties/`.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

CERTIFIED, LEANING, UNDECIDED = "certified", "leaning", "undecided"
NO_CHOICE = b""
"""An abstention, or a voter that contradicted itself: it answered, and counts for nothing."""
MAJORITY, SUPERMAJORITY, UNANIMOUS, MEDIAN = "majority", "supermajority", "unanimous", "median"
FAKES, VETOES = "fakes", "vetoes"
DENOMINATOR_LIMIT = 1_000
NUMBER_BYTES = 8
"""A choice of the median: micro-units, big-endian, two's complement."""


class Rule(msgspec.Struct, frozen=True, gc=False):
    """A rule, and for a supermajority its share and what it is proof against."""

    name: str
    numerator: int = 0
    denominator: int = 1
    against: str = ""

    @property
    def text(self) -> str:
        """The one way to write it, which requests carry."""
        if self.name != SUPERMAJORITY:
            return self.name
        share = f"{self.name}:{self.numerator}/{self.denominator}"
        return share if self.against == FAKES else f"{share}:{self.against}"


class Tally(msgspec.Struct, frozen=True, gc=False):
    """What a set of answers says under a rule.

    Attributes:
        status: certified, leaning or undecided.
        choice: what won; empty where undecided.
        margin: by how many votes it leads its nearest rival; for a median, how many
            numbers there are.
        needed: what the margin must exceed to be beyond the reach of liars and of voters
            left out: ``f + (n - |S|)``; for a median ``2 f``.
        counts: each choice with its votes, most first, then by choice.
        answered: how many voters are in S, abstentions included.
        voters: n.
        liars: f.
    """

    status: str
    choice: bytes
    margin: int
    needed: int
    counts: tuple[tuple[bytes, int], ...]
    answered: int
    voters: int
    liars: int


def parse_rule(text: str) -> Rule:
    """The rule behind a text: ``majority``, ``supermajority:2/3``, ``supermajority:2/3:vetoes``.

    Raises:
        ValueError: there is no such rule, or its share is not above a half and at most one.
    """
    name, *rest = text.split(":")
    if name in (MAJORITY, UNANIMOUS, MEDIAN) and not rest:
        return Rule(name)
    if name != SUPERMAJORITY or len(rest) > 2:
        raise ValueError(
            f"there is no rule {text!r}: majority, supermajority:2/3, unanimous or median"
        )
    return _supermajority(rest[0] if rest else "2/3", rest[1] if len(rest) == 2 else FAKES)


def _supermajority(share: str, against: str) -> Rule:
    above, slash, below = share.partition("/")
    is_number = all(part.isascii() and part.isdigit() and len(part) <= 4 for part in (above, below))
    if not slash or not is_number or not 0 < int(below) <= DENOMINATOR_LIMIT:
        raise ValueError(f"{share!r} is no share: write it like 2/3")
    if not int(below) < 2 * int(above) <= 2 * int(below):
        raise ValueError(f"a supermajority is above a half and at most all, not {share}")
    if against not in (FAKES, VETOES):
        raise ValueError(f"a supermajority is proof against fakes or vetoes, not {against!r}")
    return Rule(SUPERMAJORITY, int(above), int(below), against)


def tally(rule: Rule, voters: int, liars: int, answers: Sequence[bytes]) -> Tally:
    """What the answers in S say.

    Args:
        rule: the ballot's.
        voters: n, how many could vote.
        liars: f, how many of them may lie.
        answers: one for each member of S: a choice, or `NO_CHOICE`.
    """
    assert len(answers) <= voters, "a voter answers once"
    if rule.name == MEDIAN:
        return _median(voters, liars, answers)
    counts = _counted(answers)
    needed = liars + voters - len(answers)
    lead = _lead(counts)
    status = _status(rule, voters, liars, len(answers), counts)
    choice = counts[0][0] if status != UNDECIDED else NO_CHOICE
    return Tally(status, choice, lead, needed, counts, len(answers), voters, liars)


def _counted(answers: Sequence[bytes]) -> tuple[tuple[bytes, int], ...]:
    counter = Counter(answer for answer in answers if answer != NO_CHOICE)
    return tuple(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def _lead(counts: tuple[tuple[bytes, int], ...]) -> int:
    if not counts:
        return 0
    return counts[0][1] - (counts[1][1] if len(counts) > 1 else 0)


def _status(
    rule: Rule, voters: int, liars: int, answered: int, counts: tuple[tuple[bytes, int], ...]
) -> str:
    most, lead = (counts[0][1] if counts else 0), _lead(counts)
    if most <= liars or not lead:
        return UNDECIDED
    cast = sum(votes for _, votes in counts)
    left_out = voters - answered
    is_preferred = lead > liars + left_out
    match rule.name:
        case "majority":
            named, sure = 2 * most > cast, is_preferred
        case "unanimous":
            named, sure = len(counts) == 1, is_preferred and not left_out
        case "supermajority" if rule.against == FAKES:
            named = _has_share(rule, most, cast)
            sure = _has_share(rule, most - liars, cast - liars + left_out)
        case "supermajority":
            named = _has_share(rule, most, cast - min(liars, cast - most))
            sure = is_preferred
        case other:
            raise AssertionError(f"no rule: {other}")
    if not named:
        return UNDECIDED
    return CERTIFIED if sure else LEANING


def _has_share(rule: Rule, votes: int, cast: int) -> bool:
    return votes * rule.denominator >= rule.numerator * cast


def _median(voters: int, liars: int, answers: Sequence[bytes]) -> Tally:
    given = [answer for answer in answers if len(answer) == NUMBER_BYTES]
    ordered = sorted(given, key=number_of)
    counts = tuple((choice, given.count(choice)) for choice in sorted(set(given), key=number_of))
    amount, needed = len(ordered), 2 * liars
    status, choice = UNDECIDED, NO_CHOICE
    if amount > liars:
        # The lower one of two in the middle: always a number that somebody named.
        status, choice = LEANING, ordered[(amount - 1) // 2]
    if amount > needed:
        status = CERTIFIED
    return Tally(status, choice, amount, needed, counts, len(answers), voters, liars)


def number_of(choice: bytes) -> int:
    """The micro-units of a choice of the median."""
    return int.from_bytes(choice, "big", signed=True)


def number_choice(micro: int) -> bytes:
    """The choice for a number of micro-units.

    Raises:
        ValueError: it does not fit in 64 bits.
    """
    try:
        return micro.to_bytes(NUMBER_BYTES, "big", signed=True)
    except OverflowError:
        raise ValueError("a number above 9 · 10¹² in size cannot be voted for") from None


def is_lost(rule: Rule, voters: int, liars: int, answers: Sequence[bytes]) -> bool:
    """Whether the rule names no winner whatever those who have not answered would say.

    There is nothing to wait for then: a quorum that cannot be reached any more is left.
    """
    missing = voters - len(answers)
    if rule.name == MEDIAN:
        numbers = sum(len(answer) == NUMBER_BYTES for answer in answers)
        return numbers + missing <= liars
    counts = _counted(answers)
    rivals = [choice for choice, _ in counts] or [b"any"]
    # Nothing helps a choice more than all the rest; what nobody has named yet may win too.
    if len(counts) and missing:
        rivals.append(b"another")
    return all(
        tally(rule, voters, liars, [*answers, *[choice] * missing]).status == UNDECIDED
        for choice in rivals
    )
