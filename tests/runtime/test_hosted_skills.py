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
    declared = hosted.changed()
    assert declared is not None
    assert [spec.name for spec, _ in declared.skills] == ["long"]
