"""Three hosts on a bridge, joined by hand: cables are pulled, work goes on, membership heals."""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from mesh.client import Client
from tests.namespaces.lan import Host, Lan, lan
from tests.processes.rig import RUNNING, until

TASKS = 120
HEAL_S = 60.0

pytestmark = [pytest.mark.slow, pytest.mark.namespaces]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    with lan(tmp_path_factory.mktemp("lan")) as made, contextlib.ExitStack() as ends:
        for name in ("anna", "bert", "carl"):
            host = made.add(name)
            RUNNING.append(host.mesh)
            ends.callback(RUNNING.remove, host.mesh)
            ends.callback(host.mesh.down)
            ends.callback(host.stop)
        found(made)
        yield made


def found(network: Lan) -> None:
    """One host founds the mesh; the others join over the network."""
    anna, *others = network.hosts
    anna.run("init", "--name", "anna")
    anna.serve()
    for host in others:
        token = anna.run("invite").row["token"]
        host.run("join", token, "--name", host.mesh.path.name)
        host.serve()


def view(host: Host) -> dict[str, str]:
    """The other members' states, as this host's peer sees them."""
    status = host.mesh.status(host.mesh.path.name)
    return {member["name"]: member["state"] for member in status.get("members", ())}


def sees(host: Host, **states: str) -> bool:
    seen = view(host)
    return all(seen.get(name) == state for name, state in states.items())


def all_see_all(network: Lan) -> bool:
    return all(list(view(host).values()) == ["alive", "alive"] for host in network.hosts)


def test_three_hosts_that_joined_by_hand_are_one_mesh(network: Lan) -> None:
    until(partial(all_see_all, network), "all to see all")
    anna, bert, carl = network.hosts
    assert {host.mesh.folder.read().mesh for host in network.hosts} == {
        anna.mesh.folder.read().mesh
    }
    for host, to in ((anna, "carl"), (bert, "anna"), (carl, "bert")):
        row = host.run("call", "echo", f"from={host.address}", "--to", to).row
        assert (row["result"], row["producer"]) == ({"from": host.address}, to)


def test_work_goes_on_while_a_cable_is_out_and_membership_heals(network: Lan) -> None:
    until(partial(all_see_all, network), "all to see all", HEAL_S)
    anna, _, carl = network.hosts
    begun = threading.Event()

    def work() -> int:
        count = 0
        with Client(dir=anna.mesh.path) as client:
            for _ in client.map("sleep", ({"seconds": 0.2} for _ in range(TASKS))):
                count += 1
                if count >= TASKS // 4:
                    begun.set()
        return count

    with ThreadPoolExecutor(1) as pool:
        worked = pool.submit(work)
        assert begun.wait(60)
        carl.pull_cable()
        _until_each_side_misses_the_other(anna, carl)
        assert worked.result(120) == TASKS
    rows = anna.run("tasks", "--limit", str(TASKS)).rows
    assert {row["producer"] for row in rows} == {"anna", "bert", "carl"}
    carl.plug_cable()
    until(partial(all_see_all, network), "all to see all again", HEAL_S)
    assert anna.run("call", "echo", "--to", "carl").row["producer"] == "carl"


def _until_each_side_misses_the_other(anna: Host, carl: Host) -> None:
    until(partial(sees, anna, bert="alive", carl="dead"), "anna to miss carl alone", HEAL_S)
    until(partial(sees, carl, anna="dead", bert="dead"), "carl to be alone", HEAL_S)
    assert carl.run("call", "echo", "alone:=true").row["producer"] == "carl"


def test_the_others_go_on_without_the_host_that_invited_them(network: Lan) -> None:
    until(partial(all_see_all, network), "all to see all", HEAL_S)
    anna, bert, carl = network.hosts
    anna.pull_cable()
    until(partial(sees, bert, anna="dead", carl="alive"), "bert to miss anna alone", HEAL_S)
    assert bert.run("call", "echo", "--to", "carl").row["producer"] == "carl"
    # A peer that starts meanwhile finds the mesh by the others.
    carl.stop()
    carl.serve()
    until(partial(sees, carl, bert="alive"), "carl to find bert", HEAL_S)
    anna.plug_cable()
    until(partial(all_see_all, network), "all to see all again", HEAL_S)


def test_a_newcomer_behind_a_pulled_cable_is_told_that_nobody_answers(network: Lan) -> None:
    until(partial(all_see_all, network), "all to see all", HEAL_S)
    anna, bert, _ = network.hosts
    token = anna.run("invite").row["token"]
    anna.pull_cable()
    place = bert.mesh.path.parent / "dora"
    words = ("join", token, "--name", "dora", "--dir", str(place))
    try:
        told = bert.run(*words, expect=3).err
    finally:
        anna.plug_cable()
    assert "nobody-answers" in told
    assert anna.address in told
    assert not place.exists()
    until(partial(all_see_all, network), "all to see all again", HEAL_S)
