"""What a peer says of the skills of its agents."""

from protocols.auction.commands import CandidateUp
from protocols.gossip.messages import SkillAdvert
from protocols.tasks.commands import HostSkills


def advertised(command: HostSkills) -> tuple[SkillAdvert, ...]:
    """The skills of a peer, as gossip spreads them."""
    sick = frozenset(command.sick)
    return tuple(
        SkillAdvert(spec.name, spec.version, spec.digest(), (spec.name, spec.version) in sick)
        for spec, _ in command.skills
    )


def candidate(peer: bytes, boot: int, command: HostSkills) -> CandidateUp:
    """The same for the peer's own auction."""
    hosted = tuple((spec.name, spec.version) for spec, _ in command.skills)
    return CandidateUp(peer, boot, hosted, command.labels)
