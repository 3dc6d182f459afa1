"""One settlement among others: step by step, with lost and repeated messages, and restarts."""

import random

import pytest

from protocols.machine import SECOND_NS
from protocols.quorum import quorum, tolerated
from protocols.voting.marks import (
    FINALISE,
    MARK_DOMAIN,
    NOTARISE,
    NOTHING,
    NULLIFY,
    Mark,
    Proof,
    digest_of,
    is_proof,
    make_proof,
)
from protocols.voting.settling import VIEWS_AHEAD, VIEWS_BEHIND
from protocols.voting.settling_faces import Said
from protocols.wire import encode
from tests.protocols.voting.arena import EPOCH, INSTANCE, KEYRINGS, Arena, Place, mutated


def mark(seat: int, view: int, phase: str, payload: bytes = b"", epoch: int = EPOCH) -> Said:
    """What an elector signs."""
    digest = NOTHING if phase == NULLIFY else digest_of(payload)
    body = encode(Mark(epoch, INSTANCE, view, phase, digest))
    return Said(seat, view, phase, digest, KEYRINGS[seat].sign(MARK_DOMAIN, body))


def proof(view: int, phase: str, payload: bytes = b"", n: int = 4) -> Proof:
    """A quorum's marks: those of the first electors."""
    marks = [mark(seat, view, phase, payload) for seat in range(quorum(n))]
    signatures = {said.elector: said.signature for said in marks}
    return make_proof(view, phase, marks[0].digest, signatures, quorum(n))


def alone(n: int = 4, seat: int = 3) -> tuple[Arena, Place]:
    """One place of an arena, to which a test says what it likes."""
    arena = Arena(n, liars=[other for other in range(n) if other != seat])
    place = arena.places[seat]
    place.settlement.look(True, arena.now)
    return arena, place


def signed(place: Place) -> list[tuple[int, str]]:
    """The views and phases of what a place has signed."""
    return [(said.view, said.phase) for said, _ in place.disk]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 10, 13, 31])
def test_all_settle_three_delays_after_the_proposal(n: int) -> None:
    arena = Arena(n)
    arena.begin()
    while arena.under_way and not arena.is_settled():
        arena.one_delay()
    assert arena.is_settled()
    # Two of three are a quorum, and the second notarises what it hears from the first.
    assert arena.delays == {1: 0, 3: 2}.get(n, 3)


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 10])
def test_exactly_a_quorum_settles_and_one_less_does_not(n: int) -> None:
    for up, is_enough in ((quorum(n), True), (quorum(n) - 1, False)):
        arena = Arena(n)
        for place in arena.places[up:]:
            place.is_up = False
        arena.begin()
        arena.run(120)
        assert arena.is_settled() is is_enough
        assert (arena.places[0].payload is not None) is is_enough


@pytest.mark.parametrize("n", range(4, 11))
def test_any_two_quorums_share_somebody_honest_and_the_honest_are_one(n: int) -> None:
    q, f = quorum(n), tolerated(n)
    assert 2 * q - n > f
    assert q <= n - f
    assert 2 * (q - 1) - n <= f, "no smaller quorum would do"


def test_a_silent_leader_that_counts_as_dead_is_nullified_at_once() -> None:
    arena = Arena(4)
    arena.down.add(0)
    arena.places[0].is_up = False
    arena.begin()
    arena.deliver_all()
    assert arena.is_settled()
    assert arena.monotonic_ns == 0
    assert list(arena.outcomes) == [b"p1"]


def test_timeouts_grow_while_views_are_nullified_and_settle_when_messages_arrive() -> None:
    arena = Arena(4)
    arena.passes = lambda sender, receiver: False
    arena.begin()
    arena.run(20)
    arena.passes = lambda sender, receiver: True
    arena.run(60)
    assert arena.is_settled()


@pytest.mark.parametrize("views", [2, 3, 6, 20])
def test_who_comes_late_is_shown_how_each_earlier_view_ended(views: int) -> None:
    arena = Arena(4)
    late = arena.places[3]
    late.is_up = False
    for place in arena.places:
        place.application.payload = None
    arena.begin()
    arena.run(400, lambda: arena.places[0].settlement.view > views)
    # It knows none of the views that ended, has signed nothing there that it might say again,
    # and without it there is no quorum now.
    late.is_up, arena.places[1].is_up = True, False
    arena.down.add(1)
    for place in arena.places:
        place.application.payload = place.name.encode()
        place.settlement.look(True, arena.now)
    arena.collect()
    arena.run(4 * 16)
    assert arena.is_settled()


def test_a_payload_that_was_notarised_is_proposed_again_by_the_next_leader() -> None:
    arena = Arena(4)
    arena.begin()
    # Everybody notarises view 1, and no mark that finalises it arrives.
    arena.one_delay()
    arena.one_delay()
    arena.under_way.clear()
    arena.passes = lambda sender, receiver: sender.settlement.view > 2
    arena.run(3, lambda: False)
    arena.passes = lambda sender, receiver: True
    arena.run(60)
    assert list(arena.outcomes) == [b"p0"]


def test_a_first_mark_stands_and_a_second_is_evidence() -> None:
    arena, place = alone()
    settlement = place.settlement
    settlement.hear(mark(1, 1, NOTARISE, b"one"), arena.now)
    settlement.hear(mark(1, 1, NOTARISE, b"other"), arena.now)
    assert len(place.contradicted) == 1
    # Two more notarise the other: with the liar's first mark that is no quorum.
    settlement.hear(mark(0, 1, NOTARISE, b"other"), arena.now)
    settlement.hear(mark(2, 1, NOTARISE, b"other"), arena.now)
    assert (1, FINALISE) not in signed(place)


def test_nullifying_what_one_has_finalised_is_evidence() -> None:
    arena, place = alone()
    place.settlement.hear(mark(1, 1, FINALISE, b"one"), arena.now)
    place.settlement.hear(mark(1, 1, NULLIFY), arena.now)
    assert [other.phase for _, other in place.contradicted] == [NULLIFY]


def test_a_nullified_view_is_not_finalised_when_its_notarisation_is_shown_later() -> None:
    arena, place = alone()
    place.settlement.wake(arena.now._replace(monotonic_ns=5 * SECOND_NS))
    assert signed(place) == [(1, NULLIFY)]
    assert place.settlement.prove(proof(1, NOTARISE, b"p0"), arena.now)
    assert signed(place) == [(1, NULLIFY)]
    assert place.settlement.prove(proof(1, NULLIFY), arena.now)
    assert place.settlement.prove(proof(1, NOTARISE, b"p0"), arena.now)
    assert signed(place) == [(1, NULLIFY)]


def test_what_was_nullified_long_ago_is_not_finalised_when_it_is_forgotten() -> None:
    arena, place = alone()
    place.settlement.wake(arena.now._replace(monotonic_ns=5 * SECOND_NS))
    assert signed(place) == [(1, NULLIFY)]
    for view in range(1, VIEWS_BEHIND + 4):
        assert place.settlement.prove(proof(view, NULLIFY), arena.now)
    assert place.settlement.prove(proof(1, NOTARISE, b"p0"), arena.now)
    assert (1, FINALISE) not in signed(place)


def test_nothing_else_is_notarised_while_a_notarised_view_is_not_nullified() -> None:
    arena, place = alone()
    assert place.settlement.prove(proof(1, NOTARISE, b"p0"), arena.now)
    other = mark(1, 2, NOTARISE, b"other").signature
    assert place.settlement.hear_proposal(2, b"other", other, None, arena.now)
    assert signed(place) == [(1, FINALISE)]
    assert place.settlement.prove(proof(1, NULLIFY), arena.now)
    place.settlement.look(True, arena.now)
    assert (2, NOTARISE) in signed(place)


def test_a_restart_between_two_marks_finalises_nothing_that_was_nullified() -> None:
    arena, place = alone()
    place.settlement.wake(arena.now._replace(monotonic_ns=5 * SECOND_NS))
    place.restart()
    assert place.settlement.prove(proof(1, NOTARISE, b"p0"), arena.now)
    assert signed(place) == [(1, NULLIFY)]


def test_a_restarted_leader_proposes_what_it_proposed() -> None:
    arena, place = alone(seat=0)
    assert signed(place) == [(1, NOTARISE)]
    place.application.payload = b"something else"
    place.restart()
    arena.tick()
    assert signed(place) == [(1, NOTARISE)]


def test_marks_of_views_far_ahead_and_of_phases_unknown_are_not_kept() -> None:
    arena, place = alone()
    kept = vars(place.settlement)["_heard"]
    for view in range(1, 1_000):
        place.settlement.hear(mark(1, view, NOTARISE, b"p"), arena.now)
    for number in range(1_000):
        said = mutated(mark(1, 1, NOTARISE, b"p"), phase=f"phase-{number}")
        assert not place.settlement.hear(said, arena.now)
    assert len(kept.views()) <= VIEWS_AHEAD + 1


def test_somebody_elses_mark_repeated_by_a_stranger_is_not_answered() -> None:
    arena, place = alone()
    said = mark(1, 1, NULLIFY)
    assert place.settlement.hear(said, arena.now)
    assert place.settlement.prove(proof(1, NULLIFY), arena.now)
    place.outbox.clear()
    forged = mutated(said, signature=bytes(64))
    assert not place.settlement.hear(forged, arena.now)
    assert place.outbox == []


MUTATIONS = {
    "view + 1": {"view": 2},
    "view - 1": {"view": 0},
    "another phase": {"phase": FINALISE},
    "another digest": {"digest": digest_of(b"other")},
    "an empty digest": {"digest": b""},
    "another elector": {"elector": 2},
    "no elector": {"elector": 30},
    "no signature": {"signature": bytes(64)},
}


@pytest.mark.parametrize("changes", MUTATIONS.values(), ids=MUTATIONS)
def test_a_mark_with_another_field_is_no_mark(changes: dict[str, object]) -> None:
    arena, place = alone()
    said = mark(1, 1, NOTARISE, b"p0")
    assert not place.settlement.hear(mutated(said, **changes), arena.now)
    assert place.settlement.hear(said, arena.now)


def test_a_mark_of_another_epoch_or_instance_is_no_mark() -> None:
    arena, place = alone()
    assert not place.settlement.hear(mark(1, 1, NOTARISE, b"p0", epoch=EPOCH - 1), arena.now)
    body = encode(Mark(EPOCH, b"j" * 32, 1, NOTARISE, digest_of(b"p0")))
    other = KEYRINGS[1].sign(MARK_DOMAIN, body)
    assert not place.settlement.hear(Said(1, 1, NOTARISE, digest_of(b"p0"), other), arena.now)


def test_a_proof_counts_each_signer_once_and_every_signature() -> None:
    arena = Arena(4)
    good = proof(1, NOTARISE, b"p0")
    (one, two, three) = good.signatures

    def holds(*signatures: tuple[int, bytes]) -> bool:
        changed = Proof(1, NOTARISE, good.digest, signatures)
        return is_proof(changed, EPOCH, INSTANCE, arena.electors, KEYRINGS[0])

    assert holds(one, two, three)
    assert not holds(one, two)
    assert not holds(one, two, two)
    assert not holds(one, one, two)
    assert not holds(two, one, three)
    assert not holds(one, two, (3, three[1]))
    assert not holds(one, two, (4, three[1]))
    assert not holds(one, two, three, (3, bytes(64)))


def test_a_quorum_of_one_epochs_electors_proves_nothing_to_another_electorate() -> None:
    strangers = tuple(keyring.peer for keyring in KEYRINGS[4:8])
    assert not is_proof(proof(1, NOTARISE, b"p0"), EPOCH, INSTANCE, strangers, KEYRINGS[0])


def storm(seed: int, n: int) -> Arena:
    """Messages are lost, repeated and late, and places restart; then all is well."""
    rng = random.Random(seed)
    arena = Arena(n)
    arena.begin()
    for _ in range(rng.randrange(40, 300)):
        draw = rng.random()
        if draw < 0.06:
            arena.tick()
        elif draw < 0.09:
            rng.choice(arena.places).restart()
            arena.collect()
        elif arena.under_way:
            arena.under_way.rotate(-rng.randrange(min(len(arena.under_way), 12)))
            message = arena.under_way.popleft()
            if rng.random() < 0.25:
                continue
            if rng.random() < 0.1:
                arena.under_way.append(message)
            arena.deliver(*message)
    arena.run(300)
    assert arena.is_settled(), f"seed {seed} with {n} electors"
    return arena


@pytest.mark.parametrize("n", [2, 4, 5, 7])
def test_storms_divide_nobody_and_end(n: int) -> None:
    for seed in range(12):
        storm(seed, n)


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7])
def test_many_storms_divide_nobody_and_end(n: int) -> None:
    for seed in range(100, 500):
        storm(seed, n)
