"""What a certificate says, as plain values for scripts and people."""

from collections.abc import Callable
from typing import Any

import msgspec

from protocols.identity import Ed25519Keyring, text_id
from protocols.quorum import quorum
from protocols.voting.answers import Answered
from protocols.voting.certificate import Decision, verify
from protocols.voting.normalising import number_value
from protocols.voting.requests import NUMBER
from protocols.voting.rules import NO_CHOICE
from protocols.voting.vouching import Vouch


def read_decision(data: bytes, mesh: bytes, name_of: Callable[[bytes], str]) -> dict[str, Any]:
    """What a certificate's file proves, as `mesh verify` prints it.

    Args:
        data: the file.
        mesh: the mesh's id, its root's public key.
        name_of: how peers are shown.

    Raises:
        CertificateRefused: it proves nothing.
    """
    # It only verifies: the key that a keyring must have signs nothing.
    keyring = Ed25519Keyring(bytes(32), mesh)
    decision = verify(data, keyring, Vouch(mesh))
    return {"valid": True, "reason": None, **described(decision, name_of)}


def described(decision: Decision, name_of: Callable[[bytes], str]) -> dict[str, Any]:
    """A decision as `mesh decide` and `mesh verify` print it.

    Args:
        decision: a certificate that was found good.
        name_of: a peer's name; its id where nobody is known by it.
    """
    tally, request = decision.tally, decision.request
    votes = [_vote(decision, answered, name_of) for answered in decision.answers]
    winner = _shown(decision, tally.choice)
    there = {answered.elector for answered in decision.answers}
    return {
        "ballot": decision.ballot.hex(),
        "outcome": winner,
        "status": tally.status,
        "margin": tally.margin,
        "needed": tally.needed,
        "votes": votes,
        "dissent": [
            vote for vote, answered in zip(votes, decision.answers, strict=True)
            if answered.counted not in (NO_CHOICE, tally.choice)
        ],
        "missing": [name_of(decision.electors[v]) for v in decision.voters if v not in there],
        "counts": [[_shown(decision, choice), votes] for choice, votes in tally.counts],
        "rule": request.rule,
        "skill": f"{request.skill}@{request.version}",
        "input": _decoded(decision.question),
        "opener": text_id(request.opener),
        "epoch": request.epoch,
        "electors": len(decision.electors),
        "voters": tally.voters,
        "panel": bool(request.panel),
        "tolerates": tally.liars,
        "honest_majority": _has_honest_majority(decision),
        "signers": [name_of(decision.electors[signer]) for signer in decision.signers],
    }  # fmt: skip


def _vote(
    decision: Decision, answered: Answered, name_of: Callable[[bytes], str]
) -> dict[str, Any]:
    peer = decision.electors[answered.elector]
    vote: dict[str, Any] = {"peer": name_of(peer), "id": text_id(peer)}
    if len(answered.answers) == 2:
        said = [_shown(decision, answer.choice) for answer in answered.answers]
        return vote | {"answer": None, "contradicts": said, "confidence": None}
    answer = answered.answers[0]
    if answer.choice == NO_CHOICE:
        return vote | {"answer": None, "abstains": True, "confidence": None}
    confidence = answer.confidence / 1_000 if answer.confidence >= 0 else None
    return vote | {"answer": _shown(decision, answer.choice), "confidence": confidence}


def _shown(decision: Decision, choice: bytes) -> Any:
    """The answer behind a choice; its hash where the file does not have it."""
    if choice == NO_CHOICE:
        return None
    if decision.request.folding == NUMBER:
        return number_value(choice)
    text = decision.texts.get(choice)
    return f"sha256:{choice.hex()}" if text is None else _decoded(text)


def _decoded(encoded: bytes) -> Any:
    """A plain value; in hexadecimal where it does not decode, since anybody may have made it."""
    try:
        return msgspec.to_builtins(msgspec.msgpack.decode(encoded), str_keys=True)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, TypeError):
        return f"0x{encoded.hex()}"


def _has_honest_majority(decision: Decision) -> bool:
    """Whether more than half of the honest voters, however many lie, chose what won."""
    tally = decision.tally
    return dict(tally.counts).get(tally.choice, 0) >= quorum(tally.voters)
