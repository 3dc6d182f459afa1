"""Links, disks and clocks of the simulated world, each by itself."""

import random

import pytest

from mesh.core.records import StepRecord
from protocols.errors import StorageCorrupt
from protocols.machine import MILLISECOND_NS, SECOND_NS
from simulations.clock import EPOCH_WALL_NS, Clocks
from simulations.disk import LOG_GROUPS, Disk
from simulations.network import QUEUE_BYTES_LIMIT, Network, NetworkConditions
from simulations.schedule import Shape

A, B, C = b"a", b"b", b"c"


def network() -> Network:
    return Network(NetworkConditions(), random.Random(1))


@pytest.mark.parametrize("shape", ["lognormal", "pareto"])
def test_of_a_tail_one_frame_in_twenty_is_beyond_the_range(shape: Shape) -> None:
    links = network()
    conditions = NetworkConditions(delay_least_ns=0, delay_most_ns=MILLISECOND_NS, shape=shape)
    links.impose(conditions)
    # Far apart, so that none waits for the one before it.
    delays = [links.arrivals(A, B, at)[0] - at for at in range(0, 4_000 * SECOND_NS, SECOND_NS)]
    late = sum(delay > MILLISECOND_NS for delay in delays) / len(delays)
    assert 0.03 < late < 0.07
    assert max(delays) > 3 * MILLISECOND_NS


def test_frames_of_a_narrow_link_queue_and_at_last_are_lost() -> None:
    links = network()
    links.impose(NetworkConditions(delay_least_ns=0, delay_most_ns=0, bandwidth=1_000), A, B)
    assert [links.arrivals(A, B, 0, 500)[0] // MILLISECOND_NS for _ in range(3)] == [
        500,
        1000,
        1500,
    ]
    assert links.arrivals(B, A, 0, 500)[0] < MILLISECOND_NS
    assert links.arrivals(A, B, 0, QUEUE_BYTES_LIMIT)
    assert not links.arrivals(A, B, 0, 1)


def test_what_is_imposed_on_a_link_holds_there_alone_and_until_it_is_lifted() -> None:
    links = network()
    lossy = links.impose(NetworkConditions(loss=1.0), A)
    assert not links.arrivals(A, B, 0)
    assert not links.arrivals(A, C, 0)
    assert links.arrivals(B, A, 0)
    links.impose(NetworkConditions(), A, C)
    assert links.arrivals(A, C, 0)
    links.lift(lossy)
    assert links.arrivals(A, B, 0)


def record(number: int, sync: bool = False) -> StepRecord:
    return StepRecord(number, str(number).encode(), sync)


def written(*synced: int, of: int = 6) -> Disk:
    disk = Disk()
    for number in range(of):
        assert disk.append([record(number, number in synced)], number * SECOND_NS)
    return disk


def test_a_power_cut_keeps_what_was_synced_and_a_prefix_of_the_rest() -> None:
    left: dict[int, None] = {}
    for seed in range(40):
        disk = written(2)
        since = disk.lose_power(random.Random(seed))
        kept = list(disk)
        assert kept == [str(number).encode() for number in range(len(kept))]
        assert since == (len(kept) * SECOND_NS if len(kept) < 6 else None)
        left[len(kept)] = None
    assert sorted(left) == [3, 4, 5, 6]


def test_with_durability_disk_a_power_cut_costs_nothing() -> None:
    disk = Disk()
    disk.always_sync = True
    for number in range(6):
        disk.append([record(number)], number)
    assert disk.lose_power(random.Random(1)) is None
    assert len(disk) == 6


def test_rot_in_the_log_ends_it_there_and_rot_in_the_main_file_is_found() -> None:
    disk = written()
    assert not disk.rot(False, random.Random(1))
    assert disk.rot(True, random.Random(1))
    since = disk.recover()
    assert since is not None
    assert list(disk) == [str(number).encode() for number in range(since // SECOND_NS)]
    disk = written(of=LOG_GROUPS)
    assert disk.rot(False, random.Random(1))
    assert disk.recover() is None
    with pytest.raises(StorageCorrupt):
        list(disk)


def test_an_older_copy_brings_back_its_records_and_its_boot_counter() -> None:
    disk = written(of=3)
    disk.next_boot()
    copy = disk.copy(7 * SECOND_NS)
    disk.next_boot()
    disk.append([record(3)], 8 * SECOND_NS)
    disk.rot(True, random.Random(1))
    assert disk.restore(copy) == 7 * SECOND_NS
    assert disk.recover() is None
    assert (len(list(disk)), len(disk), disk.boot) == (3, 3, 1)


@pytest.mark.parametrize("ppm", [-10_000, -7, 0, 3, 500, 500_000])
def test_a_timer_of_a_drifting_clock_rings_when_it_says_so_and_not_before(ppm: int) -> None:
    clocks = Clocks(5)
    clocks.drift(ppm, 11)
    for local in (12, 1_000_003, 17 * SECOND_NS + 1):
        rings = clocks.when(local)
        assert clocks.at(rings).monotonic_ns >= local
        assert clocks.at(rings - 1).monotonic_ns < local


def test_drift_moves_both_clocks_and_a_jump_only_the_wall() -> None:
    clocks = Clocks(0)
    clocks.drift(1_000, 0)
    clocks.drift(0, SECOND_NS)
    assert clocks.at(2 * SECOND_NS).monotonic_ns == 2 * SECOND_NS + MILLISECOND_NS
    clocks.jump(-SECOND_NS)
    now = clocks.at(2 * SECOND_NS)
    assert now.monotonic_ns == 2 * SECOND_NS + MILLISECOND_NS
    assert now.wall_ns == EPOCH_WALL_NS + SECOND_NS + MILLISECOND_NS
