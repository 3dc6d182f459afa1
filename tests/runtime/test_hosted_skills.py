"""What a peer takes of a worker as its skills."""

import msgspec
import pytest

from mesh.local.messages import SkillDeclaration
from mesh.runtime.hosted_skills import HostedSkills, SkillConflict, skill_spec
from protocols.tasks.commands import HostSkills
from protocols.tasks.skills import SKILL_SPEC_LIMIT
from protocols.wire import encode

SCHEMA = '{"type":"object"}'


def described_in(size: int) -> SkillDeclaration:
    """A skill whose description makes its spec so many bytes long."""
    skill = SkillDeclaration(
        name="long", version="1", input_schema=SCHEMA, output_schema=SCHEMA, description="x" * 40000
    )
    missing = size - len(encode(skill_spec(skill)))
    longer = msgspec.structs.replace(skill, description=skill.description + "x" * missing)
    assert len(encode(skill_spec(longer))) == size
    return longer


def test_a_skill_that_others_could_not_fetch_is_refused_where_it_is_declared() -> None:
    hosted: HostedSkills[str] = HostedSkills()
    with pytest.raises(SkillConflict, match=r"long@1 is described in 49153 bytes.*at most 49152"):
        hosted.add("link", None, "agent", [described_in(SKILL_SPEC_LIMIT + 1)])
    assert hosted.changed() == HostSkills(())
    hosted.add("link", None, "agent", [described_in(SKILL_SPEC_LIMIT)])
    known = hosted.changed()
    assert known is not None
    assert [spec.name for spec, _ in known.skills] == ["long"]


def declared(hosted: HostedSkills[str]) -> tuple[int, bool]:
    """The slots of the skill, and whether it is sick."""
    command = hosted.changed()
    assert command is not None, "nothing has changed"
    ((_, slots),) = command.skills
    return slots, bool(command.sick)


def test_a_skill_is_sick_where_no_agent_that_has_it_can_work() -> None:
    hosted: HostedSkills[str] = HostedSkills()
    skill = SkillDeclaration(name="s", input_schema=SCHEMA, output_schema=SCHEMA, slots=2)
    for link in ("one", "two"):
        hosted.add(link, None, "agent", [skill])
    assert declared(hosted) == (4, False)
    assert hosted.ail("one", None, "agent", "down") == ""
    assert declared(hosted) == (2, False)
    assert hosted.links("s", "1") == ["two"]
    hosted.ail("two", None, "agent", "down too")
    assert declared(hosted) == (4, True)
    assert hosted.links("s", "1") == ["one", "two"]
    assert hosted.ailing() == [("agent", "down"), ("agent", "down too")]
    assert hosted.ail("one", None, "agent", "") == "down"
    assert declared(hosted) == (2, False)
    hosted.remove("two")
    assert hosted.changed() is None
    assert hosted.ailing() == []


def test_another_agent_of_the_same_worker_is_as_well_as_before() -> None:
    hosted: HostedSkills[str] = HostedSkills()
    for agent in ("sick", "well"):
        skill = SkillDeclaration(name=agent, input_schema=SCHEMA, output_schema=SCHEMA)
        hosted.add("link", None, agent, [skill])
    hosted.ail("link", None, "sick", "down")
    command = hosted.changed()
    assert command is not None
    assert command.sick == (("sick", "1"),)


def test_an_inline_skill_is_as_sick_as_its_agent() -> None:
    hosted: HostedSkills[str] = HostedSkills()
    skill = SkillDeclaration(name="s", input_schema=SCHEMA, output_schema=SCHEMA, inline=True)
    assert hosted.try_inline([skill], "agent")
    assert declared(hosted) == (1, False)
    hosted.ail("link", None, "agent", "down")
    assert declared(hosted) == (1, True)
