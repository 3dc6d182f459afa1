"""Work that only some peers are fit for."""

import pytest

from protocols.errors import Refused
from protocols.tasks import commands, events
from protocols.tasks.skills import REQUIRES_LIMIT
from tests.protocols.tasks.support import Peer, Town, peer_id, skill, spec


def town(b: tuple[str, ...], c: tuple[str, ...], requires: tuple[str, ...] = ()) -> Town:
    """One custodian, and two peers with a skill and these labels."""
    made = Town("a", "b", "c")
    hosted = skill(requires=requires)
    for name, labels in (("b", b), ("c", c)):
        made.start(name, (hosted, 1))
        made[name].command(commands.HostSkills(made[name].skills, (), labels))
    boss = made.start("a")
    for name, labels in (("b", b), ("c", c)):
        advertised = (("echo", "1", hosted.digest()),)
        boss.command(commands.PeerUp(peer_id(name), name, 1, advertised, (), labels))
    made.run()
    return made


def refusal(made: Town, wanted: commands.TaskSpec) -> Refused:
    with pytest.raises(Refused) as caught:
        made["a"].command(commands.SubmitTasks(1, (wanted,)))
    return caught.value


def wanted(peer: Peer) -> list[tuple[str, ...]]:
    return [event.requires for event in peer.seen(events.SlotsWanted) if event.units]


def test_what_the_call_and_the_skill_ask_for_is_sought_together() -> None:
    made = town(("gpu", "region:eu"), ("gpu",), requires=("gpu",))
    made["a"].submit(spec(), spec(requires=("region:eu",)), spec(requires=("region:eu", "gpu")))
    assert wanted(made["a"]) == [("gpu",), ("gpu", "region:eu")]


@pytest.mark.parametrize(
    ("requires", "word"),
    [
        (("tpu",), "no live peer that hosts echo@1 has the label 'tpu'"),
        (("gpu", "tpu"), "no live peer that hosts echo@1 has the label 'tpu'"),
        (("gpu", "region:eu"), "has all the labels asked for: the one with most of them lacks"),
    ],
)
def test_what_nobody_is_fit_for_is_refused_and_the_label_named(
    requires: tuple[str, ...], word: str
) -> None:
    made = town(("gpu",), ("region:eu",))
    refused = refusal(made, spec(requires=requires))
    assert refused.kind == "MissingLabel"
    assert word in refused.message


def test_a_peer_that_is_named_must_be_fit_too() -> None:
    made = town(("gpu",), ())
    made["a"].submit(spec(strategy="direct", to=peer_id("b"), requires=("gpu",)))
    refused = refusal(made, spec(strategy="direct", to=peer_id("c"), requires=("gpu",)))
    assert "that peer lacks the label 'gpu'" in refused.message


@pytest.mark.parametrize("requires", [("x" * 65,), ("",), ("x",) * (REQUIRES_LIMIT + 1)])
def test_labels_have_limits(requires: tuple[str, ...]) -> None:
    made = town((), ())
    with pytest.raises(Refused):
        made["a"].command(commands.SubmitTasks(1, (spec(requires=requires),)))


def test_a_skill_without_labels_has_the_name_that_it_always_had() -> None:
    assert skill().digest() == bytes.fromhex("763d8a43d904a834f8dd75e13b193682")
    assert skill(requires=("gpu",)).digest() != skill().digest()
