"""What ballots are told, what they ask of their peer, and what they say came of it."""

import msgspec


class OpenBallot(msgspec.Struct, frozen=True):
    """Ask the electorate. Answered by `BallotOpened`, then `BallotDecided` or `BallotEnded`.

    Raises `Refused`: NoElectorate, NoQuorum, InvalidBallot, TooLarge, Busy (with a retry time).

    Attributes:
        request: the caller's own number.
        skill, version: what each voter runs to have an answer.
        question: the skill's encoded input.
        rule: as `rules.parse_rule` has it.
        folding: ``exact``, ``text``, or ``number`` for a median.
        options: what may be answered; empty for anything.
        voters: how many electors vote; 0 for all.
        close_ms, deadline_ms: when voters stop waiting, and when all give up.
        trace: the W3C trace context that it belongs to.
    """

    request: int
    skill: str
    version: str
    question: bytes
    rule: str = "majority"
    folding: str = "text"
    options: tuple[str, ...] = ()
    voters: int = 0
    close_ms: int = 60_000
    deadline_ms: int = 90_000
    trace: str = ""


class CastAnswer(msgspec.Struct, frozen=True):
    """This voter's own answer to a ballot: what its skill returned, or why there is none.

    `value` is encoded; empty where there is no answer, and the voter abstains.
    `confidence` is in millionths, -1 where none was stated.
    """

    ballot: bytes
    value: bytes
    confidence: int = -1
    reason: str = ""


class ElectorUp(msgspec.Struct, frozen=True):
    """Gossip sees a peer alive."""

    peer: bytes


class ElectorDown(msgspec.Struct, frozen=True):
    """Gossip sees a peer dead or gone: it is not waited for. It defines no quorum."""

    peer: bytes


class AskVoter(msgspec.Struct, frozen=True, gc=False):
    """A job: have this peer's own agents answer. Its end comes back as `CastAnswer`.

    It may be asked for again after a restart; the same ballot is the same task.
    """

    ballot: bytes
    skill: str
    version: str
    question: bytes
    timeout_ms: int


class BallotOpened(msgspec.Struct, frozen=True, tag="voting.ballot-opened"):
    """A ballot was opened here for a caller."""

    request: int
    ballot: bytes
    skill: str
    rule: str


class AnswerCast(msgspec.Struct, frozen=True, tag="voting.answer-cast"):
    """This peer voted, or abstained for a reason."""

    ballot: bytes
    choice: bytes
    confidence: int
    reason: str


class BallotDecided(msgspec.Struct, frozen=True, tag="voting.ballot-decided"):
    """A set of answers was settled, and every honest elector has the same.

    Attributes:
        requests: the callers here that wait for it.
        ballot: its id.
        status: certified, leaning or undecided.
        margin: as `rules.Tally` has it.
        certificate: the file that anybody can verify.
    """

    requests: tuple[int, ...]
    ballot: bytes
    status: str
    margin: int
    certificate: bytes


class BallotEnded(msgspec.Struct, frozen=True, tag="voting.ballot-ended"):
    """A ballot came to no end here: its deadline passed, or a quorum cannot be reached."""

    requests: tuple[int, ...]
    ballot: bytes
    reason: str


class VoterContradicted(msgspec.Struct, frozen=True, tag="voting.voter-contradicted"):
    """A voter signed two answers to one ballot. Its evidence is two signed answers."""

    ballot: bytes
    voter: bytes
    evidence: bytes


class ElectorContradicted(msgspec.Struct, frozen=True, tag="voting.elector-contradicted"):
    """An elector signed against itself while a ballot was settled: two marks are the evidence."""

    ballot: bytes
    elector: bytes
    evidence: bytes


class DiskFoundOld(msgspec.Struct, frozen=True, tag="voting.disk-found-old"):
    """Somebody has seen statements of this elector's that its disk does not know.

    Its disk is an older copy. It abstains until a quorum has told it what began before.
    `where`: ballots, or log.
    """

    where: str


class ElectorReadmitted(msgspec.Struct, frozen=True, tag="voting.readmitted"):
    """An elector on an older copy of its disk signs again, in what begins from now on.

    `where`: ballots, or log. `bar`: how many open ballots it leaves to the others, or the
    height up to which it does.
    """

    where: str
    bar: int


class DoubtDisk(msgspec.Struct, frozen=True):
    """This peer's disk is an older copy, as another of its machines was shown."""


class KeepEvidence(msgspec.Struct, frozen=True):
    """An elector signed against itself: in a ballot, or in the log. See `evidence.py`."""

    elector: bytes
    evidence: bytes


class SuspectKnown(msgspec.Struct, frozen=True, tag="voting.suspect-known"):
    """Evidence against an elector is kept here from now on, and passed on."""

    elector: bytes
    offence: str


class AdoptElectorate(msgspec.Struct, frozen=True):
    """The electorate as the mesh's root has signed it; an older one is ignored.

    Raises `Refused`: NoElectorate, where it is not signed by this mesh's root.
    """

    bundle: bytes


class ProposeElectorate(msgspec.Struct, frozen=True):
    """A later electorate, for the electors of today to put into their log.

    Raises `Refused`: NoElectorate, where it is not signed by this mesh's root, or nobody knows
    who decides today; StaleElectorate, where its epoch is not later than today's.
    """

    bundle: bytes


class ElectorateHeard(msgspec.Struct, frozen=True, tag="voting.electorate-heard"):
    """The root has signed a later electorate. The log is to settle it."""

    bundle: bytes


class ElectorateChanged(msgspec.Struct, frozen=True, tag="voting.electorate-changed"):
    """From here on these peers decide, as far as this peer knows."""

    epoch: int
    electors: tuple[bytes, ...]
