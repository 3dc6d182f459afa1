"""The invitations of one peer: which are open, and who used which.

    opened --a good join--> spent by one newcomer --the same one again--> spent
       '------ time ------> ended

Invariants:
    one-newcomer: an invitation admits one newcomer, by its id and CURVE key, for ever:
        what was spent is never open again, and its newcomer never changes.
    bounded-invitations: open ones have a limit, and so have those that are remembered.

A newcomer that asks again is answered again, so that a lost answer costs nothing.
Nothing rests on remembering: an invitation that is not known admits nobody.
"""

from collections.abc import Iterable, Iterator

import msgspec

from protocols.credentials import CLOCK_TOLERANCE_S, ROLES_LIMIT
from protocols.effects import Effect, Emit, Persist
from protocols.errors import Malformed, Refused
from protocols.identity import Keyring
from protocols.invitations.commands import OpenInvitation, Redeem
from protocols.invitations.events import InvitationOpened, InvitationRedeemed
from protocols.invitations.messages import JoinBody, decode_body, is_proven
from protocols.invitations.records import InvitationKept, InvitationSpent
from protocols.machine import SECOND_NS, Instant, Now

OPEN_LIMIT = 256
"""Invitations that may be open at a time."""
REMEMBERED_LIMIT = 1024
"""Those that were used or have ended, kept to be able to say so; the oldest makes room."""
LIFE_LEAST_NS = SECOND_NS
LIFE_MOST_NS = 30 * 24 * 3600 * SECOND_NS


class _Invitation(msgspec.Struct):
    """One invitation; `peer` and `curve` are empty until somebody came with it."""

    ends: Instant
    not_after_ns: int
    roles: tuple[str, ...] = ()
    peer: bytes = b""
    curve: bytes = b""


class Invitations:
    """A `Machine`: see the module."""

    def __init__(self, mesh: bytes, keyring: Keyring) -> None:
        """Takes the mesh's id, and what verifies proofs."""
        self._mesh = mesh
        self._keyring = keyring
        self._known: dict[bytes, _Invitation] = {}

    def submit(self, command: msgspec.Struct, now: Now) -> tuple[Effect, ...]:
        """Opens an invitation, or takes a newcomer's word.

        Raises:
            Refused: with a kind of docs/protocols/admission.md; nothing has changed.
        """
        match command:
            case OpenInvitation():
                return self._open(command, now)
            case Redeem():
                return self._redeem(command, now)
        raise AssertionError(f"{type(command).__name__} is no command of invitations")

    def receive(
        self, link: bytes, author: bytes, message: msgspec.Struct, now: Now
    ) -> tuple[Effect, ...]:
        """Peers say nothing about invitations to each other."""
        return ()

    def wake(self, now: Now) -> tuple[Effect, ...]:
        """Nothing is ever due: ends are looked at when somebody comes."""
        return ()

    def deadline(self) -> Instant | None:
        """None."""
        return None

    def snapshot(self) -> Iterator[msgspec.Struct]:
        """What is known, oldest first."""
        for key, known in self._known.items():
            yield InvitationKept(key, known.not_after_ns, known.roles)
            if known.peer:
                yield InvitationSpent(key, known.peer, known.curve)

    def restore(self, records: Iterable[msgspec.Struct], now: Now) -> None:
        """Rebuilds what was known; what is left of an invitation's life is told by the wall."""
        for record in records:
            match record:
                case InvitationKept():
                    left_ns = min(record.not_after_ns - now.wall_ns, LIFE_MOST_NS)
                    self._known[record.key] = _Invitation(
                        now.monotonic_ns + left_ns, record.not_after_ns, record.roles
                    )
                case InvitationSpent():
                    known = self._known.get(record.key)
                    if known is not None:
                        known.peer, known.curve = record.peer, record.curve
        self._forget(now.monotonic_ns)
        # A wall clock that was set back makes old ones last longer than anybody meant.
        for key in list(self._known)[: max(0, len(self._known) - OPEN_LIMIT - REMEMBERED_LIMIT)]:
            del self._known[key]

    def check(self) -> None:
        """Asserts that what is remembered is bounded."""
        assert len(self._known) <= OPEN_LIMIT + REMEMBERED_LIMIT, "bounded-invitations"
        for known in self._known.values():
            assert bool(known.peer) == bool(known.curve), "one-newcomer: a peer and its CURVE key"

    def _open(self, command: OpenInvitation, now: Now) -> tuple[Effect, ...]:
        if not LIFE_LEAST_NS <= command.valid_ns <= LIFE_MOST_NS:
            raise Refused("InvalidInput", "an invitation is valid for a second to 30 days")
        if len(command.roles) >= ROLES_LIMIT:
            raise Refused("InvalidInput", f"a credential has at most {ROLES_LIMIT} roles")
        if command.key in self._known:
            raise Refused("InvalidInput", "there is an invitation with this key already")
        self._forget(now.monotonic_ns)
        open_ones = [each for each in self._known.values() if _is_open(each, now.monotonic_ns)]
        if len(open_ones) >= OPEN_LIMIT:
            first = min(each.ends for each in open_ones) - now.monotonic_ns
            raise Refused(
                "TooManyInvitations",
                f"{OPEN_LIMIT} invitations of this peer are open: use them, or wait for one to end",
                retry_after_ns=first,
            )
        ends_wall_ns = now.wall_ns + command.valid_ns
        self._known[command.key] = _Invitation(
            now.monotonic_ns + command.valid_ns, ends_wall_ns, command.roles
        )
        return (
            Persist(InvitationKept(command.key, ends_wall_ns, command.roles)),
            Emit(InvitationOpened(command.request, command.key, ends_wall_ns)),
        )

    def _redeem(self, command: Redeem, now: Now) -> tuple[Effect, ...]:
        body, known = self._judge(command, now)
        told = Emit(
            InvitationRedeemed(
                command.request, body.invitation, body.peer, body.curve, body.name, known.roles
            )
        )
        if known.peer:
            assert (known.peer, known.curve) == (body.peer, body.curve), "one-newcomer"
            return (told,)
        known.peer, known.curve = body.peer, body.curve
        # A power cut must not undo this: the credential would be out, and the token good again.
        return (Persist(InvitationSpent(body.invitation, body.peer, body.curve), sync=True), told)

    def _judge(self, command: Redeem, now: Now) -> tuple[JoinBody, _Invitation]:
        """Who wants to join, and by which invitation, when nothing is wrong with either."""
        try:
            body = decode_body(command.join)
        except Malformed as error:
            raise Refused("malformed", str(error)) from None
        if body.mesh != self._mesh:
            raise Refused("other-mesh", "the token is for another mesh than this door's")
        if body.curve != command.curve:
            raise Refused("wrong-curve-key", "the join names another CURVE key than its sender's")
        known = self._known.get(body.invitation)
        if known is None:
            raise Refused(
                "unknown-invitation",
                "this peer has made no such invitation, or ended it long ago: ask for another one",
            )
        if not is_proven(command.join, body, self._keyring):
            raise Refused("bad-proof", "the join was not made with the token's secret")
        ahead_s = body.wall_s - now.wall_ns // SECOND_NS
        if abs(ahead_s) > CLOCK_TOLERANCE_S:
            side = "ahead of" if ahead_s > 0 else "behind"
            raise Refused(
                "clock-off",
                f"the newcomer's clock is {abs(ahead_s)} s {side} this peer's: set the one that is "
                "wrong, and try the same token again",
            )
        if known.peer and (known.peer, known.curve) != (body.peer, body.curve):
            raise Refused("used", "somebody joined with this token already: ask for another one")
        if known.ends <= now.monotonic_ns:
            ago_s = (now.monotonic_ns - known.ends) // SECOND_NS
            raise Refused("expired", f"the token ended {ago_s} s ago: ask for another one")
        return body, known

    def _forget(self, now: Instant) -> None:
        """Makes room among those that nobody can come in by any more."""
        over = [key for key, known in self._known.items() if not _is_open(known, now)]
        for key in over[: max(0, len(over) - REMEMBERED_LIMIT)]:
            del self._known[key]


def _is_open(known: _Invitation, now: Instant) -> bool:
    return not known.peer and now < known.ends
