"""One set, settled: Simplex (Chan and Pass 2023) for a single decision.

    view v   the leader proposes; electors notarise at most one payload of it, nullify the view
             when it takes too long, and go on to v + 1 with a quorum of either
    finalise once a payload is notarised, by those that have not nullified its view
    settled  a quorum finalised

The lines of the paper that the code cites:

    S1  a leader extends the highest notarised payload that it knows: here it proposes the
        very same; without one, every earlier view is nullified, and it asks the application
    S2  an elector notarises what extends a notarised payload, all views between nullified
    S3  an elector that nullified a view never finalises it, nor the other way round
    S4  an elector enters v + 1 with a notarisation or a nullification of v, and passes it on

Deviations: one decision and no chain, so a payload is proposed again rather than extended, and
a finalisation of any view names its digest. The view of a leader that counts as dead here is
nullified at once. Timeouts grow with nullified views. No view ends by the clock before the
application is ready (a ballot waits for its voters). What was signed is on disk before it is
sent, and said again until a set is settled. Who may not sign (`standing.py`) follows only.

Invariants:
    one-mark-a-view: one payload is notarised and one finalised in a view by this elector, and
        no view is both nullified and finalised.
    bounded-views: marks of views far ahead are dropped.
"""

from collections.abc import Callable, Sequence

from protocols.identity import Keyring
from protocols.machine import MILLISECOND_NS, SECOND_NS, Instant, Now
from protocols.quorum import quorum
from protocols.voting.heard import Heard, is_signed, opposite_of
from protocols.voting.marks import (
    FINALISE,
    MARK_DOMAIN,
    NOTARISE,
    NOTHING,
    NULLIFY,
    PHASES,
    Mark,
    Proof,
    digest_of,
    is_proof,
    make_proof,
)
from protocols.voting.proofs import Proofs
from protocols.voting.settling_faces import Application, Output, Said
from protocols.wire import encode

VIEWS_AHEAD = 16
"""Views ahead of an elector's own whose marks it keeps."""
VIEWS_BEHIND = 64
"""Views behind whose proofs it keeps for those that are there."""
TIMEOUT_NS = SECOND_NS
TIMEOUT_MOST_NS = 16 * SECOND_NS
RESEND_NS = 500 * MILLISECOND_NS


class Settlement:
    """One instance at one elector.

    Attributes:
        view: where this elector is.
        is_settled: a quorum has finalised, and this elector knows what.
    """

    def __init__(
        self,
        epoch: int,
        instance: bytes,
        electors: Sequence[bytes],
        seat: int,
        order: Sequence[int],
        keyring: Keyring,
        application: Application,
        is_down: Callable[[int], bool],
        output: Output,
    ) -> None:
        """Begins in view 1, whose clock stands still.

        Args:
            epoch: of the electorate.
            instance: what is settled; no two have the same.
            electors: the electorate.
            seat: this elector's index.
            order: the permutation that leaders follow.
            keyring: signs as this elector.
            application: what is settled.
            is_down: whether an elector counts as dead here.
            output: where it speaks and writes.
        """
        self._epoch = epoch
        self._instance = instance
        self._electors = electors
        self._whose = (epoch, instance, electors, keyring)
        self._seat = seat
        self._order = order
        self._keyring = keyring
        self._application = application
        self._is_down = is_down
        self._out = output
        self._needed = quorum(len(electors))
        self.view = 1
        self.is_settled = False
        self._has_begun = False
        self._ends: Instant = 0
        self._resend: Instant = 0
        self._turn = seat
        self._mine: dict[tuple[int, str], Said] = {}
        self._heard = Heard()
        self._proposed: dict[int, tuple[bytes, bytes]] = {}
        self._payloads: dict[bytes, bytes] = {}
        self._proofs = Proofs()
        self._final: Proof | None = None

    # Told here.

    def restore(self, mark: Said, payload: bytes) -> None:
        """Takes a mark of an earlier life."""
        self._mine[(mark.view, mark.phase)] = mark
        self._heard.add(mark)
        self.view = max(self.view, mark.view)
        if payload:
            self._payloads[mark.digest] = payload
            if self.leader(mark.view) == self._seat:
                self._proposed[mark.view] = (mark.digest, payload)

    def look(self, is_ready: bool, now: Now) -> None:
        """The application may answer otherwise than before; `is_ready` starts the clock."""
        if is_ready and not self._has_begun:
            self._has_begun = True
            self._restart_clock(now)
        for view in list(self._proofs.notarised):
            self._finalise(view, now)  # what was notarised while this elector could not sign
        self._go_on(now)

    def marks_of(self, elector: int) -> list[Said]:
        """What an elector signed in its last view."""
        return self._heard.last_of(elector)

    def hear(self, said: Said, now: Now) -> bool:
        """Takes somebody's mark; False where its signature is wrong."""
        is_own = said.elector == self._seat
        if self.is_settled or not (is_own or self._is_near(said.view)):
            return True
        if self._heard.get(said.view, said.phase, said.elector) == said:
            if said.view < self.view and self._ends:
                self._help(said.elector, said.view)
            return True
        if not is_signed(said, *self._whose):
            return False
        rival = self._heard.rival(said)
        if rival is not None:
            if rival.digest != said.digest:  # else another signature of the same
                self._out.contradiction(rival, said)
            return True
        if is_own:
            self._learn(said)
        self._heard.add(said)
        self._count(said, now)
        return True

    def hear_proposal(
        self, view: int, payload: bytes, signature: bytes, parent: Proof | None, now: Now
    ) -> bool:
        """Takes a leader's payload; False where it did not sign it, or a proof is none."""
        if self.is_settled or not self._is_near(view) or view < 1:
            return True
        digest, leader = digest_of(payload), self.leader(view)
        said = Said(leader, view, NOTARISE, digest, signature)
        if not is_signed(said, *self._whose) or (
            parent is not None and not self.prove(parent, now)
        ):
            return False
        self._proposed.setdefault(view, (digest, payload))
        if self._proposed[view][0] == digest:
            self._payloads[digest] = payload
        self.hear(said, now)
        self._go_on(now)
        return True

    def prove(self, proof: Proof, now: Now) -> bool:
        """Takes a proof from another; False where it is none."""
        if self.is_settled or self._proofs.is_known(proof):
            return True
        if not is_proof(proof, *self._whose):
            return False
        if (proof.view, proof.phase) not in self._mine:
            for own in (each for elector, each in proof.signatures if elector == self._seat):
                self.hear(Said(self._seat, proof.view, proof.phase, proof.digest, own), now)
        self._take(proof, now)
        return True

    # Time.

    def deadline(self) -> Instant | None:
        """When `wake` is wanted."""
        if self.is_settled or not self._has_begun:
            return None
        return min(self._ends, self._resend) if self._may_nullify() else self._resend

    def wake(self, now: Now) -> None:
        """Nullifies a view that takes too long; says again what it has said."""
        if self.is_settled or not self._has_begun:
            return
        if now.monotonic_ns >= self._ends and self._may_nullify():
            self._sign(self.view, NULLIFY, NOTHING, b"", now)
        if now.monotonic_ns >= self._resend:
            self._resend = now.monotonic_ns + RESEND_NS
            self._say_again()
        self._go_on(now)

    # Leading and judging.

    def leader(self, view: int) -> int:
        """The elector that leads a view."""
        return self._order[(view - 1) % len(self._order)]

    def _go_on(self, now: Now) -> None:
        if self.is_settled:
            return
        if self.leader(self.view) == self._seat:
            self._lead(now)
        elif self._has_begun and self._is_down(self.leader(self.view)) and self._may_nullify():
            self._sign(self.view, NULLIFY, NOTHING, b"", now)
        if not self.is_settled:
            self._judge(now)

    def _lead(self, now: Now) -> None:
        view = self.view
        has_marked = any((view, phase) in self._mine for phase in (NOTARISE, NULLIFY))
        if view in self._proposed or has_marked or not self._out.may_sign():
            return
        parent = self._proofs.parent(view)
        if not self._proofs.are_nullified(parent, view):
            return
        if parent:  # S1
            payload = self._payloads.get(self._proofs.notarised[parent].digest)
        else:
            payload = self._application.propose(view, b"", now)
        if payload is None:
            return
        digest = digest_of(payload)
        self._proposed[view], self._payloads[digest] = (digest, payload), payload
        mark = self._sign(view, NOTARISE, digest, payload, now, silently=True)
        self._out.propose(view, payload, mark.signature, self._proofs.notarised.get(parent))
        self._count(mark, now)

    def _judge(self, now: Now) -> None:
        view = self.view
        if view not in self._proposed or not self._out.may_sign():
            return
        if (view, NOTARISE) in self._mine or (view, NULLIFY) in self._mine:
            return
        digest, payload = self._proposed[view]
        proofs, judgement = self._proofs, None
        for parent in sorted((v for v in proofs.notarised if v < view), reverse=True):
            same = proofs.notarised[parent].digest == digest
            if same and proofs.are_nullified(parent, view):
                judgement = True  # S2
                break
        else:
            if proofs.are_nullified(0, view):
                judgement = self._application.accepts(view, payload, b"", view - 1, now)
        if judgement:
            self._sign(view, NOTARISE, digest, payload, now)
        elif judgement is False and self._has_begun and self._may_nullify():
            self._sign(view, NULLIFY, NOTHING, b"", now)

    # Marks and proofs.

    def _may_nullify(self) -> bool:
        return self._may_end(self.view)

    def _may_end(self, view: int) -> bool:
        has_ended = (view, NULLIFY) in self._mine or (view, FINALISE) in self._mine
        return not has_ended and self._out.may_sign()

    def _finalise(self, view: int, now: Now) -> None:
        if not self.is_settled and self._may_end(view):
            self._sign(view, FINALISE, self._proofs.notarised[view].digest, b"", now)

    def _learn(self, mark: Said) -> None:
        """A mark of its own that is not on disk: it keeps to that, too."""
        self.restore(mark, b"")
        self._out.write(mark, b"")
        self._out.own_shown()

    def _sign(
        self,
        view: int,
        phase: str,
        digest: bytes,
        payload: bytes,
        now: Now,
        silently: bool = False,
    ) -> Said:
        """Writes a mark down, says it, and counts it; a leader's first goes with its payload."""
        mine = self._mine
        assert (view, phase) not in mine, "one-mark-a-view"
        assert (view, opposite_of(phase)) not in mine, "one-mark-a-view"  # S3
        body = encode(Mark(self._epoch, self._instance, view, phase, digest))
        mark = Said(self._seat, view, phase, digest, self._keyring.sign(MARK_DOMAIN, body))
        mine[(view, phase)] = mark
        self._heard.add(mark)
        self._out.write(mark, payload)
        if not silently:
            self._out.say(mark)
            self._count(mark, now)
        return mark

    def _count(self, said: Said, now: Now) -> None:
        same = self._heard.same(said)
        if len(same) >= self._needed:
            self._take(make_proof(said.view, said.phase, said.digest, same, self._needed), now)

    def _take(self, proof: Proof, now: Now) -> None:
        if not self.is_settled and not self._proofs.is_known(proof):
            self._proven(proof, now)

    def _proven(self, proof: Proof, now: Now) -> None:
        view = proof.view
        if proof.phase == FINALISE:
            self._final = self._final or proof
        elif proof.phase == NULLIFY:
            self._proofs.nullified[view] = proof
            self._out.prove(proof, None)  # S4
        else:
            assert view not in self._proofs.notarised, "asked before"
            self._proofs.notarised[view] = proof
            self._out.prove(proof, None)  # S4
            self._finalise(view, now)
        if self._settles() or self.is_settled:
            return
        if proof.phase != FINALISE and view >= self.view:
            self._enter(view + 1, now)
        self._go_on(now)

    def _settles(self) -> bool:
        final = self._final
        if final is None or final.digest not in self._payloads or self.is_settled:
            return False
        self.is_settled = True
        self._out.settled(self._payloads[final.digest], final)
        return True

    def _enter(self, view: int, now: Now) -> None:
        self.view = view
        self._restart_clock(now)
        oldest = view - VIEWS_BEHIND
        # Its own marks it keeps for ever: it must not sign against one of them.
        self._heard.forget_before(oldest, but=self._seat)
        self._proposed = {v: it for v, it in self._proposed.items() if v >= oldest}

    def _restart_clock(self, now: Now) -> None:
        long = min(TIMEOUT_NS << min(len(self._proofs.nullified), 8), TIMEOUT_MOST_NS)
        self._ends = now.monotonic_ns + long
        self._resend = now.monotonic_ns + RESEND_NS

    # Saying again.

    def _is_near(self, view: int) -> bool:
        return self.view - VIEWS_BEHIND <= view <= self.view + VIEWS_AHEAD

    def _say_again(self) -> None:
        for (view, phase), mark in self._mine.items():
            if view < self.view - 1 and self._proofs.is_over(view):
                continue
            mine = self._proposed.get(view)
            if phase == NOTARISE and self.leader(view) == self._seat and mine is not None:
                parent = self._proofs.notarised.get(self._proofs.parent(view))
                self._out.propose(view, mine[1], mark.signature, parent)
            else:
                self._out.say(mark)
        # Besides the last view's proof those of earlier ones in turn: who came late, or lost
        # them in a restart, takes part only when it knows how every view ended.
        self._turn += 1
        for view in self._proofs.in_turn(self.view, self._turn):
            self._show(view, None)

    def _help(self, elector: int, view: int) -> None:
        """An elector says again what it said in an earlier view: it is behind."""
        for past in range(view, min(self.view, view + 4)):
            self._show(past, elector)

    def _show(self, view: int, elector: int | None) -> None:
        for proof in self._proofs.of(view):
            self._out.prove(proof, elector)

    def check(self) -> None:
        """Asserts the invariants."""
        for view, phase in self._mine:
            both = (view, NULLIFY) in self._mine and (view, FINALISE) in self._mine
            assert not both, "one-mark-a-view"
            assert phase in PHASES, "one-mark-a-view"
        views = self._heard.views()
        assert all(view <= self.view + VIEWS_AHEAD for view in views), "bounded-views"
