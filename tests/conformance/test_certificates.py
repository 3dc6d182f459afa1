"""Certificates as other languages would read them: frozen vectors, and no byte that is not covered.

``certificates.json`` changes only with a new version of the format.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from protocols.identity import Ed25519Keyring
from protocols.quorum import quorum, tolerated
from protocols.voting.answers import Answered, decode_set, encode_set, sign_answer, tally_of
from protocols.voting.certificate import (
    CERTIFICATE_LIMIT,
    Certificate,
    CertificateFile,
    CertificateRefused,
    Decision,
    make_certificate,
    make_file,
    verify,
)
from protocols.voting.marks import FINALISE, MARK_DOMAIN, Mark, digest_of, make_proof
from protocols.voting.normalising import choice_of, normalised
from protocols.voting.requests import Request, ballot_id, options_hash, question_hash
from protocols.voting.roll import Root, make_bundle
from protocols.voting.vouching import Vouch
from protocols.wire import encode
from tests.conformance import other_language
from tests.protocols.voting.chamber import MESH, bundle, signer, succeeded

VECTORS = Path(__file__).with_name("certificates.json")
QUESTION = encode({"text": "ship it?"})
OPTIONS = (normalised("hold"), normalised("ship"))
VERIFIER = Ed25519Keyring(bytes(32), MESH)

Said = tuple[str | None, ...]


def made(
    said: dict[int, Said],
    n: int = 4,
    rule: str = "majority",
    options: tuple[bytes, ...] = OPTIONS,
    signers: tuple[int, ...] | None = None,
) -> bytes:
    """The file of a ballot in which electors said this; signed by the first quorum."""
    request = Request(
        1, signer(0).peer, (1 << 32) + 1, "review", "1", question_hash(QUESTION), rule, "text",
        options_hash(options), 0, 60_000, 90_000,
    )  # fmt: skip
    body = encode(request)
    ballot = ballot_id(body)
    entries, texts = [], {}
    for elector, answers in said.items():
        signed = []
        for place, answer in enumerate(answers):
            text = b"" if answer is None else normalised(answer)
            choice = choice_of(text) if text else b""
            texts[choice] = text
            confidence = -1 if answer is None else 900 - place
            signed.append(sign_answer(signer(elector), 1, ballot, choice, confidence))
        entries.append(Answered(elector, tuple(sorted(signed))))
    payload = encode_set(entries)
    return finalised(body, payload, n, rule, options, texts, signers)


def finalised(
    body: bytes,
    payload: bytes,
    n: int,
    rule: str,
    options: tuple[bytes, ...],
    texts: dict[bytes, bytes],
    signers: tuple[int, ...] | None,
) -> bytes:
    digest, ballot = digest_of(payload), ballot_id(body)
    mark = encode(Mark(1, ballot, 1, FINALISE, digest))
    who = range(quorum(n)) if signers is None else signers
    signatures = {elector: signer(elector).sign(MARK_DOMAIN, mark) for elector in who}
    proof = encode(make_proof(1, FINALISE, digest, signatures, len(signatures)))
    answers = decode_set(payload)
    assert answers is not None
    tally = tally_of(rule, n, tolerated(n), answers)
    certificate = make_certificate(body, payload, b"", tally, proof)
    texts.pop(b"", None)
    return make_file(certificate, bundle(n), QUESTION, options, texts, answers)


def read(data: bytes) -> Decision:
    return verify(data, VERIFIER, Vouch(MESH))


CASES: dict[str, dict[int, Said]] = {
    "all agree": {0: ("ship",), 1: ("ship",), 2: ("ship",), 3: ("ship",)},
    "one dissents, one abstains": {0: ("ship",), 1: ("ship",), 2: ("hold",), 3: (None,)},
    "one is left out": {0: ("ship",), 1: ("ship",), 2: ("ship",)},
    "one contradicts itself": {0: ("ship",), 1: ("ship",), 2: ("ship",), 3: ("hold", "ship")},
    "a tie": {0: ("ship",), 1: ("ship",), 2: ("hold",), 3: ("hold",)},
}


def told(data: bytes) -> dict[str, Any]:
    decision = read(data)
    tally = decision.tally
    return {
        "status": tally.status,
        "choice": tally.choice.hex(),
        "margin": tally.margin,
        "ballot": decision.ballot.hex(),
    }


def test_the_frozen_vectors_are_what_is_made_today() -> None:
    frozen = json.loads(VECTORS.read_text(encoding="utf-8"))
    assert frozen["mesh"] == MESH.hex()
    assert {case["name"]: case["file"] for case in frozen["good"]} == {
        name: made(said).hex() for name, said in CASES.items()
    }


@pytest.mark.parametrize("name", CASES)
def test_two_verifiers_read_the_same_from_a_vector(name: str) -> None:
    frozen = json.loads(VECTORS.read_text(encoding="utf-8"))
    (case,) = (case for case in frozen["good"] if case["name"] == name)
    data = bytes.fromhex(case["file"])
    assert told(data) == case["says"] == other_language.verify(data, MESH)


@pytest.mark.parametrize("roots", [1, 5])
def test_two_verifiers_read_the_same_where_a_later_root_named_the_electors(roots: int) -> None:
    root = Root(MESH, Ed25519Keyring(b"\x07" * 32, MESH))
    for number in range(roots):
        root = succeeded(root, Ed25519Keyring(bytes([200 + number]) * 32, MESH))
    electors = tuple(signer(place).peer for place in range(4))
    parts = msgspec.msgpack.decode(made(CASES["all agree"]), type=CertificateFile)
    good = encode(msgspec.structs.replace(parts, bundle=make_bundle(root, 1, electors)))
    assert told(good) == other_language.verify(good, MESH)
    forged = Root(MESH, Ed25519Keyring(b"\x63" * 32, MESH), root.roots)
    bad = encode(msgspec.structs.replace(parts, bundle=make_bundle(forged, 1, electors)))
    with pytest.raises(CertificateRefused):
        read(bad)
    with pytest.raises(other_language.Bad):
        other_language.verify(bad, MESH)


def test_both_verifiers_refuse_the_bad_vectors() -> None:
    frozen = json.loads(VECTORS.read_text(encoding="utf-8"))
    assert len(frozen["bad"]) >= 8
    for case in frozen["bad"]:
        data, mesh = bytes.fromhex(case["file"]), bytes.fromhex(case.get("mesh", MESH.hex()))
        with pytest.raises(CertificateRefused):
            verify(data, Ed25519Keyring(bytes(32), mesh), Vouch(mesh))
        with pytest.raises(other_language.Bad):
            other_language.verify(data, mesh)


# Every byte is covered.


@pytest.mark.parametrize("name", ["one contradicts itself"])
def test_no_byte_of_a_file_can_be_another(name: str) -> None:
    data = made(CASES[name])
    for place in range(len(data)):
        bent = bytearray(data)
        bent[place] ^= 1 << place % 8
        with pytest.raises(CertificateRefused):
            read(bytes(bent))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_no_bit_of_a_file_can_be_another(name: str) -> None:
    data = made(CASES[name])
    for place in range(len(data)):
        for bit in range(8):
            bent = bytearray(data)
            bent[place] ^= 1 << bit
            with pytest.raises(CertificateRefused):
                read(bytes(bent))


def test_nothing_can_be_cut_off_or_added() -> None:
    data = made(CASES["all agree"])
    for end in range(0, len(data), 7):
        with pytest.raises(CertificateRefused):
            read(data[:end])
    for more in (b"\x00", b"\xc0", data):
        with pytest.raises(CertificateRefused):
            read(data + more)


@pytest.mark.parametrize("field", Certificate.__struct_fields__)
def test_no_field_can_come_from_another_certificate(field: str) -> None:
    one = msgspec.msgpack.decode(made(CASES["all agree"]), type=CertificateFile)
    against: dict[int, Said] = {0: ("hold",), 1: ("hold",), 2: ("hold",), 3: ("ship",)}
    other = made(against, rule="supermajority:2/3", n=5)
    there = msgspec.msgpack.decode(other, type=CertificateFile)
    mine = msgspec.msgpack.decode(one.certificate, type=Certificate)
    theirs = getattr(msgspec.msgpack.decode(there.certificate, type=Certificate), field)
    if theirs == getattr(mine, field):
        assert field == "draw", "what does not differ proves nothing"
        theirs = b"x"
    swapped = encode(msgspec.structs.replace(mine, **{field: theirs}))
    with pytest.raises(CertificateRefused):
        read(encode(msgspec.structs.replace(one, certificate=swapped)))


def test_the_electorate_is_not_vouched_for_by_itself() -> None:
    data = made(CASES["all agree"])
    with pytest.raises(CertificateRefused, match="root"):
        verify(data, Ed25519Keyring(bytes(32), signer(0).peer), Vouch(signer(0).peer))


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8])
def test_a_signature_fewer_than_a_quorum_is_none(n: int) -> None:
    said: dict[int, Said] = dict.fromkeys(range(n), ("ship",))
    assert read(made(said, n=n)).tally.status == "certified"
    with pytest.raises(CertificateRefused, match="quorum"):
        read(made(said, n=n, signers=tuple(range(quorum(n) - 1))))


def test_a_signer_that_is_no_elector_counts_for_nothing() -> None:
    with pytest.raises(CertificateRefused, match="quorum"):
        read(made(CASES["all agree"], signers=(0, 1, 4)))


def test_one_signer_does_not_count_twice() -> None:
    data = made(CASES["all agree"])
    file = msgspec.msgpack.decode(data, type=CertificateFile)
    certificate = msgspec.msgpack.decode(file.certificate, type=Certificate)
    view, phase, digest, signatures = msgspec.msgpack.decode(certificate.proof)
    twice = encode((view, phase, digest, [signatures[0], signatures[0], signatures[1]]))
    bent = encode(msgspec.structs.replace(certificate, proof=twice))
    with pytest.raises(CertificateRefused, match="quorum"):
        read(encode(msgspec.structs.replace(file, certificate=bent)))


def test_a_text_that_nobody_chose_is_refused() -> None:
    file = msgspec.msgpack.decode(made(CASES["all agree"]), type=CertificateFile)
    for texts in ((*file.texts, normalised("hold")), (normalised("hold"),), file.texts * 2):
        with pytest.raises(CertificateRefused, match="nobody chose"):
            read(encode(msgspec.structs.replace(file, texts=texts)))


def test_a_certificate_of_31_electors_fits_whatever_they_said() -> None:
    liars = tolerated(31)
    said: dict[int, Said] = {elector: (f"answer {elector}",) for elector in range(31)}
    for elector in range(liars):
        said[elector] = (f"answer {elector}", f"other {elector}")
    data = made(said, n=31, options=())
    file = msgspec.msgpack.decode(data, type=CertificateFile)
    assert len(file.certificate) <= CERTIFICATE_LIMIT
    assert read(data).tally.status == "undecided"


def test_a_certificate_of_31_electors_has_room_for_a_request_of_200_bytes() -> None:
    said: dict[int, Said] = dict.fromkeys(range(31), ("ship",))
    for elector in range(tolerated(31)):
        said[elector] = (f"answer {elector}", f"other {elector}")
    data = made(said, n=31, options=())
    assert read(data).tally.status == "certified"
    file = msgspec.msgpack.decode(data, type=CertificateFile)
    request = msgspec.msgpack.decode(file.certificate, type=Certificate).request
    assert len(file.certificate) - len(request) + 200 <= CERTIFICATE_LIMIT
