"""Pruned trees: whatever is dropped or taken back, the root is that of all leaves."""

import hashlib
import random

import pytest

from protocols.blackboard.merkle import PrunedTree, joined, root_from, root_of
from protocols.errors import Malformed


def leaves_of(count: int) -> list[bytes]:
    return [hashlib.blake2b(bytes([at]), digest_size=32).digest() for at in range(count)]


def pruned(leaves: list[bytes], dropped: list[int]) -> tuple[PrunedTree, dict[int, bytes]]:
    held = dict(enumerate(leaves))
    tree = PrunedTree(len(leaves), held, ())
    for at in dropped:
        tree.drop(at, held.pop(at))
    return tree, held


def test_a_tree_of_one_leaf_is_the_leaf() -> None:
    (leaf,) = leaves_of(1)
    assert root_of([leaf]) == leaf


def test_a_last_leaf_without_a_neighbour_moves_up() -> None:
    one, two, three = leaves_of(3)
    assert root_of([one, two, three]) == joined(joined(one, two), three)


def test_whatever_is_dropped_the_root_can_be_worked_out() -> None:
    rng = random.Random(1)
    for count in range(1, 34):
        leaves = leaves_of(count)
        tree, held = pruned(leaves, [])
        for at in rng.sample(range(count), count):
            tree.drop(at, held.pop(at))
            tree.check(count, held)
            assert root_from(count, held, tree.hashes()) == root_of(leaves)
        assert tree.hashes() == [root_of(leaves)]


def test_what_was_dropped_is_taken_back_from_another_pruning() -> None:
    rng = random.Random(2)
    for _ in range(200):
        count = rng.randint(1, 33)
        leaves = leaves_of(count)
        everywhere = list(range(count))
        tree, held = pruned(leaves, rng.sample(everywhere, rng.randint(0, count)))
        other, others = pruned(leaves, rng.sample(everywhere, rng.randint(0, count)))
        wanted = [at for at in others if at not in held and rng.random() < 0.5]
        for at in wanted:
            place = tree.covers(at)
            if place is None:
                continue
            inside = [each for each in others if each >> place[0] == place[1]]
            tree.refine(place, other, {each: leaves[each] for each in inside if each not in wanted})
            held |= {each: leaves[each] for each in inside if each in wanted}
            tree.check(count, held)
        assert root_from(count, held, tree.hashes()) == root_of(leaves)


def test_a_single_leaf_is_proven_by_a_hash_a_level() -> None:
    leaves = leaves_of(16)
    tree, _held = pruned(leaves, [at for at in range(16) if at != 5])
    assert len(tree.hashes()) == 4


@pytest.mark.parametrize("hashes", [[], [bytes(32), bytes(32)]])
def test_too_few_or_too_many_hashes_prove_nothing(hashes: list[bytes]) -> None:
    one, two = leaves_of(2)
    assert root_from(2, {0: one}, [two]) == root_of([one, two])
    with pytest.raises(Malformed):
        root_from(2, {0: one}, hashes)
