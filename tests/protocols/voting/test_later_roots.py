"""Lists of electors that are signed by the successors of the mesh's first root."""

import functools

import msgspec
import pytest

from protocols.credentials import Succession
from protocols.effects import Emit
from protocols.errors import Refused
from protocols.identity import Ed25519Keyring, Keyring
from protocols.voting.ballot_commands import AdoptElectorate, ElectorateHeard, ProposeElectorate
from protocols.voting.ballot_messages import RollShown
from protocols.voting.log_commands import FollowElectorate
from protocols.voting.roll import (
    BUNDLE_LIMIT,
    ELECTORS_LIMIT,
    LaterRollBundle,
    Root,
    electors_in,
    is_outdated,
    make_bundle,
    make_recovery,
    open_bundle,
)
from protocols.wire import encode
from tests.protocols.voting.chamber import MESH, Chamber, signer, succeeded
from tests.protocols.voting.office import KEYRINGS as CLERKS
from tests.protocols.voting.office import ROOT as OFFICE_ROOT
from tests.protocols.voting.office import Office, bundle_of, put

FIRST = Root(MESH, Ed25519Keyring(b"\x07" * 32, MESH))
NOW = Chamber(1).now


def key(number: int) -> Keyring:
    return Ed25519Keyring(bytes([number]) * 32, MESH)


SECOND = succeeded(FIRST, key(200))
THIRD = succeeded(SECOND, key(201))


def electors(n: int) -> tuple[bytes, ...]:
    return tuple(signer(place).peer for place in range(n))


@pytest.mark.parametrize("root", [FIRST, SECOND, THIRD])
def test_a_list_of_any_root_is_proven_from_the_first_one_on(root: Root) -> None:
    bundle = make_bundle(root, 2, electors(4))
    found = open_bundle(bundle, MESH, signer(0))
    assert found is not None
    assert (found.epoch, found.electors) == (2, electors(4)) == (2, electors_in(bundle))
    assert open_bundle(bundle, key(99).peer, signer(0)) is None, "of another mesh"


def test_the_largest_list_of_the_last_root_fits() -> None:
    last = functools.reduce(lambda root, n: succeeded(root, key(n)), range(200, 205), FIRST)
    many = tuple(key(place).peer for place in range(ELECTORS_LIMIT))
    bundle = make_recovery(last, 2**60, many, 2**60, bytes(32))
    assert len(bundle) < BUNDLE_LIMIT
    assert open_bundle(bundle, MESH, signer(0)) is not None


def test_a_successor_that_nobody_named_signs_nothing() -> None:
    good = msgspec.msgpack.decode(make_bundle(THIRD, 2, electors(4)), type=LaterRollBundle)
    one, two = good.roots
    bent = Succession(one.body, bytes(64))
    for roots in ((one,), (two,), (two, one), (bent, two), (one, two, two)):
        bundle = encode(msgspec.structs.replace(good, roots=roots))
        assert open_bundle(bundle, MESH, signer(0)) is None
    alone = Root(MESH, key(201))
    assert open_bundle(make_bundle(alone, 2, electors(4)), MESH, signer(0)) is None


def test_after_a_list_of_a_later_root_none_of_an_earlier_one_is_followed() -> None:
    chamber = Chamber(4)
    machine = chamber.electors[0].machine
    today = make_bundle(SECOND, 2, electors(4))
    machine.submit(AdoptElectorate(today), NOW)
    stolen = make_bundle(FIRST, 3, electors(1))
    taken = make_recovery(FIRST, 40, electors(1), 0, bytes(32))
    for bundle in (stolen, taken):
        assert is_outdated(bundle, today)
        assert machine.receive(signer(1).peer, signer(1).peer, RollShown(bundle), NOW) == ()
        with pytest.raises(Refused, match="has been succeeded"):
            machine.submit(ProposeElectorate(bundle), NOW)
    good = make_bundle(THIRD, 3, electors(4))
    effects = machine.receive(signer(1).peer, signer(1).peer, RollShown(good), NOW)
    assert Emit(ElectorateHeard(good)) in effects


def test_the_log_takes_no_list_and_no_recovery_of_a_root_that_was_succeeded() -> None:
    later = succeeded(OFFICE_ROOT, CLERKS[20])
    places = tuple(CLERKS[place].peer for place in range(4))
    today = make_bundle(later, 2, places)
    office = Office(4)
    office.clerks[0].put(1, put("a", b"1"))
    office.run(2)
    for clerk in office.clerks:
        clerk.do(clerk.machine.submit, FollowElectorate(today))
    office.run(5)
    heights = {clerk.machine.height for clerk in office.clerks}
    assert heights == {2}
    victim = office.clerks[0]
    taken = make_recovery(OFFICE_ROOT, 40, (CLERKS[3].peer,), 0, bytes(32))
    for bundle in (bundle_of([3], 3), taken):
        victim.do(victim.machine.submit, FollowElectorate(bundle))
    office.run(5)
    assert victim.machine.electorate is not None
    assert (victim.machine.electorate.epoch, victim.machine.height) == (2, 2)
    office.clerks[1].put(2, put("a", b"2"))
    office.run(5)
    assert {clerk.machine.height for clerk in office.clerks} == {3}
