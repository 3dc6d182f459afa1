"""A verifier of certificates written from docs/reference/certificate.md alone.

It imports nothing of ours: MessagePack, SHA-256 and Ed25519 are what any language has.
"""

import hashlib
from typing import Any

import msgpack
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Bad(Exception):
    """It proves nothing."""


def need(condition: bool, what: str) -> None:
    if not condition:
        raise Bad(what)


def pack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def unpack(data: bytes, tag: str, length: int) -> list[Any]:
    try:
        found = msgpack.unpackb(data, raw=False)
    except ValueError as error:
        raise Bad("no MessagePack") from error
    need(isinstance(found, list) and len(found) == length and found[0] == tag, tag)
    need(pack(found) == data, "not in its one form")
    return list(found[1:])


def digest(domain: str, data: bytes) -> bytes:
    return hashlib.sha256(f"stigmesh/{domain}/1".encode() + b"\0" + data).digest()


def check(mesh: bytes, domain: str, author: bytes, body: bytes, signature: bytes) -> None:
    prefix = f"stigmesh/{domain}".encode()
    covered = len(prefix).to_bytes(2, "big") + prefix + mesh + hashlib.sha256(body).digest()
    try:
        Ed25519PublicKey.from_public_bytes(author).verify(signature, covered)
    except (InvalidSignature, ValueError) as error:
        raise Bad(f"a signature under {domain}") from error


def verify(data: bytes, mesh: bytes) -> dict[str, Any]:
    """What a file proves under a mesh's root."""
    certificate, bundle, question, options, texts = unpack(data, "stigmesh.decision.1", 6)
    request, answers, draw, status, choice, margin, proof = unpack(
        certificate, "stigmesh.certificate.1", 8
    )
    epoch, electors = open_roll(bundle, mesh)
    asked = unpack(request, "voting.request", 13)
    need(asked[0] == epoch, "epoch")
    need(draw == b"" and asked[9] == 0, "panels are not written out here")
    ballot = digest("voting.ballot", request)
    need(digest("voting.question", question) == asked[5], "question")
    need((digest("voting.options", pack(options)) if options else b"") == asked[8], "options")
    counts, heard = count(mesh, epoch, ballot, electors, answers)
    finalised(mesh, epoch, ballot, electors, answers, proof)
    chosen = {each[0] for _, said in msgpack.unpackb(answers, raw=False) for each in said}
    hashes = [digest("voting.answer", text) for text in texts]
    need(hashes == sorted(set(hashes)) and set(hashes) <= chosen, "texts")
    outcome = outcome_of(asked[6], counts, heard, len(electors))
    need(outcome == (status, choice, margin), "outcome")
    return {"status": status, "choice": choice.hex(), "margin": margin, "ballot": ballot.hex()}


def open_roll(bundle: bytes, mesh: bytes) -> tuple[int, list[bytes]]:
    root, is_later = mesh, b"voting.later-roll-bundle" in bundle[:32]
    if is_later:
        body, signature, roots = unpack(bundle, "voting.later-roll-bundle", 4)
        root = last_root(mesh, roots)
    else:
        body, signature = unpack(bundle, "voting.roll-bundle", 3)
    named, epoch, electors = unpack(body, "voting.roll", 4)
    need(named == mesh and 0 < len(set(electors)) == len(electors) <= 31, "roll")
    check(mesh, "voting.roll", root, body, signature)
    return epoch, electors


def last_root(mesh: bytes, roots: list[list[bytes]]) -> bytes:
    known = [mesh]
    need(0 < len(roots) <= 5, "roots")
    for said, signature in roots:
        successor, retires, consent = unpack(said, "gossip.root", 4)
        check(mesh, "gossip.root", known[-1], said, signature)
        check(mesh, "root-consent", successor, pack([known[-1], retires]), consent)
        need(successor not in known, "a root twice")
        known.append(successor)
    return known[-1]


def count(
    mesh: bytes, epoch: int, ballot: bytes, electors: list[bytes], answers: bytes
) -> tuple[dict[bytes, int], int]:
    try:
        found = msgpack.unpackb(answers, raw=False)
    except ValueError as error:
        raise Bad("no MessagePack") from error
    need(pack(found) == answers, "not in its one form")
    counts: dict[bytes, int] = {}
    before = -1
    for elector, said in found:
        need(before < elector < len(electors) and len(said) in (1, 2), "order")
        before = elector
        for choice, confidence, signature in said:
            body = pack(["voting.answer", epoch, ballot, choice, confidence])
            check(mesh, "voting.answer", electors[elector], body, signature)
        need(len(said) == 1 or (said[0] < said[1] and said[0][:2] != said[1][:2]), "no evidence")
        if len(said) == 1 and said[0][0]:
            counts[said[0][0]] = counts.get(said[0][0], 0) + 1
    return counts, len(found)


def finalised(
    mesh: bytes, epoch: int, ballot: bytes, electors: list[bytes], answers: bytes, proof: bytes
) -> None:
    try:
        view, phase, payload, signatures = msgpack.unpackb(proof, raw=False)
    except (ValueError, TypeError) as error:
        raise Bad("no proof") from error
    need(pack([view, phase, payload, signatures]) == proof, "not in its one form")
    n = len(electors)
    quorum = (n + (n - 1) // 3) // 2 + 1
    need(phase == "finalise" and payload == digest("voting.payload", answers), "proof")
    signers = [elector for elector, _ in signatures]
    need(signers == sorted(set(signers)) and len(signers) >= quorum, "quorum")
    need(signers[-1] < n, "signer")
    body = pack(["voting.mark", epoch, ballot, view, phase, payload])
    for elector, signature in signatures:
        check(mesh, "voting.mark", electors[elector], body, signature)


def outcome_of(rule: str, counts: dict[bytes, int], heard: int, n: int) -> tuple[str, bytes, int]:
    """Of the rule ``majority``; the page has the others."""
    need(rule == "majority", "only this rule is written out here")
    f = (n - 1) // 3
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if not ranked:
        return "undecided", b"", 0
    choice, most = ranked[0]
    lead = most - (ranked[1][1] if len(ranked) > 1 else 0)
    if most <= f or not lead or 2 * most <= sum(counts.values()):
        return "undecided", b"", lead
    return ("certified" if lead > f + n - heard else "leaning"), choice, lead
