"""Whatever is killed when, and however clocks jump, a token admits one newcomer at most."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from protocols.errors import Refused
from protocols.machine import SECOND_NS
from tests.protocols.invitations.town import MINUTE_NS, Inviter, Newcomer

SECRETS = st.sampled_from([bytes([n]) * 16 for n in range(4)])
NEWCOMERS = st.sampled_from([Newcomer(n) for n in range(1, 4)])


class InvitationsMachine(RuleBasedStateMachine):
    """A peer that invites, newcomers that come with any token, kills and clocks."""

    def __init__(self) -> None:
        super().__init__()
        self.inviter = Inviter()
        self.admitted: dict[bytes, set[bytes]] = {}
        self.opened: set[bytes] = set()

    @rule(secret=SECRETS, minutes=st.integers(1, 30))
    def opens(self, secret: bytes, minutes: int) -> None:
        if secret not in self.opened:
            self.opened.add(secret)
            self.inviter.open(secret, minutes * MINUTE_NS)

    @rule(newcomer=NEWCOMERS, secret=SECRETS)
    def comes(self, newcomer: Newcomer, secret: bytes) -> None:
        kind = ""
        try:
            told = self.inviter.take(newcomer, secret)
            self.admitted.setdefault(secret, set()).add(told.peer)
        except Refused as refused:
            kind = refused.kind
        assert kind in ("", "unknown-invitation", "used", "expired")
        assert kind == "unknown-invitation" or secret in self.opened

    @rule(newcomer=NEWCOMERS, secret=SECRETS)
    def comes_and_the_peer_is_killed_before_it_answers(
        self, newcomer: Newcomer, secret: bytes
    ) -> None:
        """On disk or not at all: nobody was answered, and the same one may come again."""
        written = len(self.inviter.disk)
        try:
            self.inviter.take(newcomer, secret)
        except Refused:
            return
        if len(self.inviter.disk) > written:
            del self.inviter.disk[written:]
        self.inviter.restart()

    @rule(compact=st.booleans())
    def is_killed(self, compact: bool) -> None:
        self.inviter.restart(compact)

    @rule(seconds=st.integers(0, 1200), jump=st.integers(-3600, 3600))
    def time_passes(self, seconds: int, jump: int) -> None:
        self.inviter.passes(seconds * SECOND_NS, (seconds + jump) * SECOND_NS)

    @invariant()
    def a_token_admits_one(self) -> None:
        self.inviter.machine.check()
        assert all(len(peers) == 1 for peers in self.admitted.values())


TestInvitations = InvitationsMachine.TestCase
TestInvitations.settings = settings(max_examples=25, stateful_step_count=30)
