"""How many faults n peers tolerate, and how many signers make a quorum.

Source: Castro and Liskov 1999 for f; the general quorum for n other than
3f + 1 is the least q with 2q - n > f, that is floor((n + f) / 2) + 1.
"""


def tolerated(n: int) -> int:
    """The number f of Byzantine peers that n peers tolerate: floor((n - 1) / 3)."""
    assert n >= 1, f"a group has at least one peer, not {n}"
    return (n - 1) // 3


def quorum(n: int) -> int:
    """The least size q such that any two quorums share an honest peer (3 at n=4, 4 at n=5)."""
    return (n + tolerated(n)) // 2 + 1
