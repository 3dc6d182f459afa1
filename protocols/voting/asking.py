"""From a caller's wish to a signed question, and from a skill's output to a choice."""

from collections.abc import Callable

import msgspec

from protocols.errors import Refused
from protocols.identity import Keyring
from protocols.machine import MILLISECOND_NS, Now
from protocols.quorum import quorum
from protocols.voting import normalising, requests
from protocols.voting.ballot_commands import AskVoter, CastAnswer, OpenBallot
from protocols.voting.ballot_messages import Question
from protocols.voting.open_ballot import Electors
from protocols.voting.open_ballot import OpenBallot as Opened
from protocols.voting.requests import Request
from protocols.voting.rules import NO_CHOICE
from protocols.wire import encode


def question_of(
    command: OpenBallot, electorate: Electors, number: int, keyring: Keyring
) -> tuple[Question, Request]:
    """The signed question that a command asks for.

    Raises:
        Refused: TooLarge, or InvalidBallot.
    """
    count = len(electorate.electors)
    if not 0 <= command.voters <= count:
        text = f"{command.voters} voters of an electorate of {count}; `mesh peers` shows who is in"
        raise Refused("InvalidBallot", text)
    if len(command.question) > requests.QUESTION_LIMIT:
        raise Refused("TooLarge", f"an input is over {requests.QUESTION_LIMIT} bytes")
    panel = command.voters if command.voters < count else 0
    try:
        options = tuple(normalising.normalised(o, command.folding) for o in command.options)
        request = Request(
            electorate.epoch, keyring.peer, number, command.skill, command.version,
            requests.question_hash(command.question), command.rule, command.folding,
            requests.options_hash(options), panel, command.close_ms, command.deadline_ms,
        )  # fmt: skip
        body = encode(request)
        fault = requests.fault_of(request) or requests.options_fault(request, options)
        if fault is None and requests.decode_request(body) is None:
            fault = "a name, number or duration in it is out of range"
    except (ValueError, OverflowError) as error:
        raise Refused("InvalidBallot", str(error)) from None
    if fault is not None:
        raise Refused("InvalidBallot", fault)
    signature = keyring.sign(requests.REQUEST_DOMAIN, body)
    return Question(body, signature, command.question, options), request


def has_quorum(electorate: Electors, is_down: Callable[[bytes], bool]) -> bool:
    """Whether so many electors are alive that something can be settled."""
    electors = electorate.electors
    return len(electors) - sum(map(is_down, electors)) >= quorum(len(electors))


def refuse_without_quorum(electorate: Electors, is_down: Callable[[bytes], bool]) -> None:
    """Refuses to ask where nothing can be settled.

    Raises:
        Refused: NoQuorum.
    """
    if has_quorum(electorate, is_down):
        return
    count = len(electorate.electors)
    alive = count - sum(map(is_down, electorate.electors))
    raise Refused(
        "NoQuorum",
        f"{alive} of {count} electors are alive, and {quorum(count)} are needed to decide: "
        "start the others again (`mesh up` on the same folder)",
    )


def is_asked(keyring: Keyring, request: Request, asked: Question) -> bool:
    """Whether a question is what its opener signed, all of it."""
    if requests.question_hash(asked.question) != request.question:
        return False
    if requests.options_fault(request, asked.options) is not None and request.options:
        return False
    if asked.options and not request.options:
        return False
    domain = requests.REQUEST_DOMAIN
    return keyring.verify(domain, request.opener, asked.request, asked.signature)


def job_of(opened: Opened, now: Now) -> AskVoter:
    """What this peer's own agents are asked, to answer before the close."""
    left_ms = max(1, (opened.ballot.closes - now.monotonic_ns) // MILLISECOND_NS)
    request = opened.request
    return AskVoter(opened.id, request.skill, request.version, opened.asked.question, left_ms)


def is_for(request: Request, electorate: Electors, me: bytes) -> bool:
    """Whether a request is one for this electorate, and this peer is in it."""
    electors = electorate.electors
    return request.epoch == electorate.epoch and me in electors and request.panel < len(electors)


def said_by(request: Request, asked: Question, command: CastAnswer) -> tuple[bytes, bytes, str]:
    """What a voter's agents have said: choice and text, or why there is none."""
    if not command.value:
        return NO_CHOICE, b"", command.reason
    try:
        return (*choice_of_value(request, asked, command.value), command.reason)
    except ValueError as error:
        return NO_CHOICE, b"", str(error)


def choice_of_value(request: Request, asked: Question, value: bytes) -> tuple[bytes, bytes]:
    """The choice that an encoded output is, and the text behind it.

    Raises:
        ValueError: it is no answer to this request; the voter abstains.
    """
    try:
        answer = msgspec.msgpack.decode(value)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise normalising.NoAnswer(f"an output that does not decode: {error}") from None
    if request.folding == requests.NUMBER:
        return normalising.number(answer), b""
    text = normalising.option(answer, asked.options, request.folding)
    return normalising.choice_of(text), text
