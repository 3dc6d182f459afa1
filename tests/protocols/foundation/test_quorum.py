"""Quorum sizes against a brute-force reading of what they are for."""

from protocols.quorum import quorum, tolerated


def test_tolerated_is_the_greatest_f_with_3f_below_n() -> None:
    for n in range(1, 100):
        f = tolerated(n)
        assert 3 * f < n <= 3 * (f + 1)


def test_a_quorum_is_the_least_size_of_which_any_two_share_an_honest_peer() -> None:
    for n in range(1, 100):
        q, f = quorum(n), tolerated(n)
        assert 2 * q - n > f, "two quorums share more peers than can lie"
        assert 2 * (q - 1) - n <= f, "one less would not do"
        assert q <= n - f, "the honest alone are a quorum"
