"""A decision that anybody can check later: the certificate, and the file that holds it.

docs/reference/certificate.md has the format for other languages, with test vectors in
``tests/conformance/``. In short, both are MessagePack in its shortest form:

    file         [tag, certificate, bundle, question, options, texts]
    certificate  [tag, request, answers, draw, status, choice, margin, proof]

Every byte is covered. The request hashes to the ballot's id, which every signature
names. The answers are what the proof's q signatures finalise, and carry their voters'
own signatures, which are all checked. Status, choice and margin are counted again.
The bundle is signed from the mesh's root on. Question, options and texts hash to what
the request and the answers name; a text that nobody chose is refused. What decodes must be
what encoding it again gives, so nothing can trail, repeat, or be written in another way.
"""

import itertools
from typing import Annotated, Protocol, TypeVar

import msgspec

from protocols.errors import MeshError
from protocols.identity import Keyring
from protocols.quorum import tolerated
from protocols.voting import requests
from protocols.voting.answers import AnswerSet, SignedAnswer, decode_set, set_fault, tally_of
from protocols.voting.normalising import ANSWER_LIMIT, choice_of
from protocols.voting.open_ballot import Electors
from protocols.voting.panels import panel_of
from protocols.voting.requests import QUESTION_LIMIT, REQUEST_LIMIT, Request, ballot_id
from protocols.voting.roll import electors_in
from protocols.voting.rules import Tally
from protocols.wire import Message, encode

CERTIFICATE_LIMIT = 6 * 1024
"""Bytes of a certificate with 31 electors, beside bundle, question and texts."""
BUNDLE_LIMIT = 256 * 1024
FILE_LIMIT = 512 * 1024
TEXTS_LIMIT = 64


class Certificate(Message, frozen=True, array_like=True, tag="stigmesh.certificate.1"):
    """What was settled, and the proof of it."""

    request: Annotated[bytes, msgspec.Meta(max_length=REQUEST_LIMIT)]
    answers: Annotated[bytes, msgspec.Meta(max_length=CERTIFICATE_LIMIT)]
    draw: Annotated[bytes, msgspec.Meta(max_length=CERTIFICATE_LIMIT)]
    status: Annotated[str, msgspec.Meta(max_length=16)]
    choice: Annotated[bytes, msgspec.Meta(max_length=32)]
    margin: Annotated[int, msgspec.Meta(ge=0, le=31)]
    proof: Annotated[bytes, msgspec.Meta(max_length=CERTIFICATE_LIMIT)]


TextField = Annotated[bytes, msgspec.Meta(max_length=ANSWER_LIMIT)]
TextsField = Annotated[tuple[TextField, ...], msgspec.Meta(max_length=TEXTS_LIMIT)]


class CertificateFile(Message, frozen=True, array_like=True, tag="stigmesh.decision.1"):
    """A certificate with all that is needed to check and to read it."""

    certificate: Annotated[bytes, msgspec.Meta(max_length=2 * CERTIFICATE_LIMIT)]
    bundle: Annotated[bytes, msgspec.Meta(max_length=BUNDLE_LIMIT)]
    question: Annotated[bytes, msgspec.Meta(max_length=QUESTION_LIMIT)]
    options: TextsField
    texts: TextsField


class CertificateRefused(MeshError):
    """A file that proves nothing; the message says what is wrong with it."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a good certificate says.

    Attributes:
        ballot: the ballot's id.
        request: what was asked.
        electors: who could finalise, in their order.
        voters: the indices of those that could vote.
        signers: the indices of those that finalised.
        answers: what each voter said.
        tally: the count, and how sure its outcome is.
        question: the encoded input.
        options: what could be answered; empty for anything.
        texts: the answers behind choices, as far as the file has them.
    """

    ballot: bytes
    request: Request
    electors: tuple[bytes, ...]
    voters: tuple[int, ...]
    signers: tuple[int, ...]
    answers: AnswerSet
    tally: Tally
    question: bytes
    options: tuple[bytes, ...]
    texts: dict[bytes, bytes]


class Vouching(Protocol):
    """What the electorate's own proofs are checked with."""

    def open_bundle(self, bundle: bytes, keyring: Keyring) -> Electors | None:
        """The electorate that a bundle proves, or None."""

    def signers(
        self, electorate: Electors, ballot: bytes, payload: bytes, proof: bytes, keyring: Keyring
    ) -> tuple[int, ...] | None:
        """Who finalised a payload, a quorum at least, every signature checked; or None."""


_certificate_decoder = msgspec.msgpack.Decoder(Certificate)
_file_decoder = msgspec.msgpack.Decoder(CertificateFile)


def make_certificate(
    request: bytes, answers: bytes, draw: bytes, tally: Tally, proof: bytes
) -> bytes:
    """The certificate of a settled set."""
    return encode(
        Certificate(request, answers, draw, tally.status, tally.choice, tally.margin, proof)
    )


def make_file(
    certificate: bytes,
    bundle: bytes,
    question: bytes,
    options: tuple[bytes, ...],
    texts: dict[bytes, bytes],
    answers: AnswerSet,
) -> bytes:
    """The file of a certificate: texts of what nobody chose are left out, the rest is in order."""
    chosen = {answer.choice for each in answers for answer in each.answers}
    kept = tuple(texts[choice] for choice in sorted(chosen & texts.keys()))
    return encode(CertificateFile(certificate, bundle, question, options, kept))


def answers_of(data: bytes, peer: bytes) -> tuple[SignedAnswer, ...]:
    """What an elector said, in a file that was verified before."""
    file = _decode(_file_decoder, data, "the file")
    found = _decode(_certificate_decoder, file.certificate, "the certificate")
    electors = electors_in(file.bundle)
    answered = {electors[each.elector]: each for each in decode_set(found.answers) or ()}
    return answered[peer].answers if peer in answered else ()


def verify(data: bytes, keyring: Keyring, vouching: Vouching) -> Decision:
    """What a file proves.

    Args:
        data: the file.
        keyring: verifies under the mesh's root; it signs nothing.
        vouching: checks bundle and proof.

    Raises:
        CertificateRefused: it proves nothing, and the message says why.
    """
    if len(data) > FILE_LIMIT:
        raise CertificateRefused(f"a file of {len(data)} bytes is over {FILE_LIMIT}")
    file = _decode(_file_decoder, data, "the file")
    found = _decode(_certificate_decoder, file.certificate, "the certificate")
    request = requests.decode_request(found.request)
    if request is None:
        raise CertificateRefused("its request is none")
    electorate = vouching.open_bundle(file.bundle, keyring)
    if electorate is None:
        raise CertificateRefused(
            "its electorate is not one that this mesh's root and its electors have signed"
        )
    if electorate.epoch != request.epoch:
        raise CertificateRefused("its request is of another epoch than its electorate")
    return _verified(file, found, request, electorate, keyring, vouching)


def _verified(
    file: CertificateFile,
    found: Certificate,
    request: Request,
    electorate: Electors,
    keyring: Keyring,
    vouching: Vouching,
) -> Decision:
    ballot, electors = ballot_id(found.request), electorate.electors
    if found.draw or request.panel >= len(electors):
        raise CertificateRefused("it speaks of a panel that this release does not know")
    voters = panel_of(ballot, len(electors), request.panel)
    answers = decode_set(found.answers)
    if answers is None:
        raise CertificateRefused("its answers are not in their one form")
    fault = set_fault(keyring, electors, voters, (request.epoch, ballot), request.rule, answers)
    if fault is not None:
        raise CertificateRefused(fault)
    signers = vouching.signers(electorate, ballot, found.answers, found.proof, keyring)
    if signers is None:
        raise CertificateRefused("its answers were not finalised by a quorum of its electorate")
    tally = tally_of(request.rule, len(voters), tolerated(len(voters)), answers)
    if (found.status, found.choice, found.margin) != (tally.status, tally.choice, tally.margin):
        raise CertificateRefused("its outcome does not follow from its answers")
    _check_texts(file, request, answers)
    return Decision(
        ballot=ballot, request=request, electors=tuple(electors), voters=voters, signers=signers,
        answers=answers, tally=tally, question=file.question, options=file.options,
        texts={choice_of(text): text for text in file.texts},
    )  # fmt: skip


def _check_texts(file: CertificateFile, request: Request, answers: AnswerSet) -> None:
    if requests.question_hash(file.question) != request.question:
        raise CertificateRefused("its question is another than the request names")
    has_options = bool(request.options or file.options)
    if has_options and requests.options_fault(request, file.options) is not None:
        raise CertificateRefused("its options are others than the request names")
    chosen = {answer.choice for each in answers for answer in each.answers}
    choices = [choice_of(text) for text in file.texts]
    if any(one >= other for one, other in itertools.pairwise(choices)) or set(choices) - chosen:
        raise CertificateRefused("it holds a text that nobody chose, or one out of order")


_T = TypeVar("_T", bound=Message)


def _decode(decoder: msgspec.msgpack.Decoder[_T], data: bytes, what: str) -> _T:
    """What bytes hold, if they are its one encoding.

    Raises:
        CertificateRefused: they are not.
    """
    try:
        found = decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise CertificateRefused(f"{what} does not decode: {error}") from None
    if encode(found) != data:
        raise CertificateRefused(f"{what} is not in its one form: something is in it besides")
    return found
