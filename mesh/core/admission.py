"""Admission: the one place where bytes from other peers become messages.

Sizes first, then types, then signatures, each with a bound per sender. What
does not pass is dropped here; the sender's misconduct is blamed, and a sender
that triggered an assertion is isolated until this peer restarts.
"""

import traceback
from typing import Any

import msgspec

from mesh.core.bulk import KINDS as BULK_KINDS
from protocols.auction.messages import KINDS as AUCTION_KINDS
from protocols.blackboard.messages import KINDS as BOARD_KINDS
from protocols.blobs.messages import KINDS as BLOB_KINDS
from protocols.credentials import CredentialRefused
from protocols.errors import Malformed
from protocols.gossip.messages import KINDS as GOSSIP_KINDS
from protocols.gossip.messages import Accusation, MemberRecord
from protocols.identity import Keyring
from protocols.machine import SECOND_NS, Now
from protocols.statements import KINDS as STATEMENTS
from protocols.tasks.messages import KINDS as TASK_KINDS
from protocols.trust import Trust
from protocols.voting.balloting import KINDS as VOTING_KINDS
from protocols.voting.log_messages import LOG_KINDS
from protocols.wire import BULK_LIMIT, MESSAGE_LIMIT, Codec, Signed, Verified, tag_of

SIGNATURES_PER_SECOND = 2_000
"""Signed messages from one link that are looked at in a second; more are dropped unread."""
LINKS_REMEMBERED_LIMIT = 4096
CREDENTIALS_REMEMBERED_LIMIT = 4096

HONESTLY_SHOWN = (
    "expired",
    "not-yet-valid",
    "unknown-root",
    "root-retired",
    "revoked",
    "issuer-revoked",
)
"""Why a record may be no good without a lie of whoever passed it on: clocks, and news, differ."""

SIGNED_KINDS = (MemberRecord, Accusation, *STATEMENTS)
PLAIN_KINDS = tuple(
    kind
    for kind in (
        *GOSSIP_KINDS,
        *AUCTION_KINDS,
        *TASK_KINDS,
        *BOARD_KINDS,
        *VOTING_KINDS,
        *LOG_KINDS,
        *BLOB_KINDS,
        *BULK_KINDS,
    )
    if kind not in SIGNED_KINDS
)

WIRE_KINDS = (*PLAIN_KINDS, Signed)


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """A message that passed: who signed it, and what it says."""

    author: bytes
    kind: type[msgspec.Struct]
    message: Any


class Admission:
    """Decodes and verifies what links deliver."""

    def __init__(self, trust: Trust, keyring: Keyring) -> None:
        """Takes what is known of the mesh's authorities, and a keyring to verify with."""
        self._trust = trust
        self._keyring = keyring
        self._codec = Codec(WIRE_KINDS)
        self._signed_codec = Codec(SIGNED_KINDS)
        self._budgets: dict[bytes, tuple[int, int]] = {}
        self.isolated: dict[bytes, str] = {}
        """To whom this peer listens no more, and why."""
        self._credentials: dict[bytes, tuple[bytes, int]] = {}
        self._judged_by = trust.changes

    def is_deaf_to(self, link: bytes) -> bool:
        """Whether nothing that a link brings is looked at: it was isolated, or revoked."""
        return link in self.isolated or link in self._trust.outcasts

    def isolate(self, link: bytes, reason: str) -> None:
        """Stops listening to a link for the rest of this boot."""
        if len(self.isolated) < LINKS_REMEMBERED_LIMIT:
            self.isolated[link] = reason

    def admit(
        self, link: bytes, data: bytes | msgspec.Raw, now: Now, bulk: bool
    ) -> Admitted | None:
        """Decodes one message, and verifies it where it is signed; None where it is ignored.

        Raises:
            Malformed: it does not decode, its signature is wrong, or its credential is.
        """
        message = self._codec.decode(data, BULK_LIMIT if bulk else MESSAGE_LIMIT)
        if message is None:
            return None
        if not isinstance(message, Signed):
            return Admitted(link, type(message), message)
        if not self._within_budget(link, now):
            return None
        return self._open(message, now)

    def _open(self, envelope: Signed, now: Now) -> Admitted | None:
        keyring = self._keyring
        if envelope.domain not in self._signed_codec.kinds:
            return None
        if not keyring.verify(envelope.domain, envelope.author, envelope.body, envelope.signature):
            raise Malformed(f"a wrong signature on {envelope.domain}")
        body = self._signed_codec.decode(envelope.body)
        if body is None or tag_of(type(body)) != envelope.domain:
            raise Malformed(f"a body that is not {envelope.domain}")
        if isinstance(body, MemberRecord):
            try:
                self._check_credential(body, now)
            except _Untimely:
                return None
        return Admitted(envelope.author, type(body), Verified(body, envelope))

    def _check_credential(self, record: MemberRecord, now: Now) -> None:
        if self._judged_by != self._trust.changes:
            self._judged_by = self._trust.changes
            self._credentials.clear()
        known = self._credentials.get(record.credential)
        if known is None or now.wall_ns // SECOND_NS > known[1]:
            try:
                credential = self._trust.verify(record.credential, now.wall_ns, self._keyring)
            except CredentialRefused as error:
                if error.kind in HONESTLY_SHOWN:
                    raise _Untimely from None
                raise Malformed(f"a member record's credential: {error}") from None
            if len(self._credentials) >= CREDENTIALS_REMEMBERED_LIMIT:
                self._credentials.pop(next(iter(self._credentials)))
            known = (credential.subject, credential.not_after_s)
            self._credentials[record.credential] = known
        if known[0] != record.peer:
            raise Malformed("a member record with another peer's credential")

    def _within_budget(self, link: bytes, now: Now) -> bool:
        second = now.monotonic_ns // SECOND_NS
        begun, used = self._budgets.get(link, (second, 0))
        if begun != second:
            begun, used = second, 0
        if len(self._budgets) >= LINKS_REMEMBERED_LIMIT and link not in self._budgets:
            self._budgets.pop(next(iter(self._budgets)))
        self._budgets[link] = (begun, used + 1)
        return used < SIGNATURES_PER_SECOND


class _Untimely(Exception):
    """A credential is not good now; by this peer's wall clock, or as far as this peer knows."""


def described(error: Exception) -> str:
    """What went wrong and where, in a line for people."""
    places = traceback.extract_tb(error.__traceback__)
    where = f" ({places[-1].filename.rpartition('/')[2]}:{places[-1].lineno})" if places else ""
    return f"{type(error).__name__}: {str(error)[:200]}{where}"
