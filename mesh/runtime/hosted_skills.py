"""Which skills this peer hosts, where they run, and what the core is told of them.

A *promise* is a skill whose worker process is not connected: not started yet,
or about to be restarted. It counts as hosted, so that a crash does not make the
mesh look elsewhere for the tenth of a second that a restart takes; after
`CRASHES_LIMIT` crashes in a row it is withdrawn until the worker is back.

A skill is *sick* where no agent that has it can work. An agent that a worker process
calls sick stays so when that process ends, until the next one says otherwise.
"""

from itertools import chain
from typing import Generic, TypeVar

from mesh.local.messages import SkillDeclaration
from mesh.runtime.worker_process import WorkerProcess
from protocols.gossip.messages import LABEL_LIMIT, LABELS_PER_PEER_LIMIT
from protocols.tasks.commands import HostSkills
from protocols.tasks.skills import REQUIRES_LIMIT, SKILL_SPEC_LIMIT, SkillSpec
from protocols.wire import encode

CRASHES_LIMIT = 3
NAME_LIMIT = 128
VERSION_LIMIT = 32
"""Characters, as the wire has it (`protocols.gossip.messages.SkillAdvert`)."""

Key = tuple[str, str]
L = TypeVar("L")


class SkillConflict(Exception):
    """A worker declares a skill otherwise than another one of the same name and version."""


class HostedSkills(Generic[L]):
    """The skills of one peer; `L` is a worker's link."""

    def __init__(self, labels: tuple[str, ...] = ()) -> None:
        """Takes the labels that the peer has without any agent."""
        self._labels = labels
        self._labels_of: dict[tuple[L | WorkerProcess, str], tuple[str, ...]] = {}
        self._inline: dict[Key, SkillDeclaration] = {}
        self._links: dict[Key, list[L]] = {}
        self._by_link: dict[L, tuple[WorkerProcess | None, dict[Key, SkillDeclaration]]] = {}
        self._promised: dict[WorkerProcess, dict[Key, SkillDeclaration]] = {}
        self._agents: dict[tuple[L | WorkerProcess | None, Key], str] = {}
        self._sick: dict[tuple[L | WorkerProcess, str], str] = {}
        self._declared: HostSkills | None = None

    def try_inline(self, skills: list[SkillDeclaration], agent: str = "") -> bool:
        """Skills that the peer itself runs; False where one is declared otherwise elsewhere."""
        try:
            for skill in skills:
                self._check(skill)
        except SkillConflict:
            return False
        self._inline.update({(skill.name, skill.version): skill for skill in skills})
        self._agents.update({(None, (skill.name, skill.version)): agent for skill in skills})
        return True

    def promise(self, process: WorkerProcess, agent: str, skills: list[SkillDeclaration]) -> None:
        """Skills of a worker that starts at their first use."""
        for skill in skills:
            self._check(skill)
        self._promised[process] = {(skill.name, skill.version): skill for skill in skills}

    def withdraw_promise(self, process: WorkerProcess) -> None:
        """This process will not run again."""
        self._promised.pop(process, None)
        self._forget(process)

    def add(
        self, link: L, process: WorkerProcess | None, agent: str, skills: list[SkillDeclaration]
    ) -> None:
        """Skills of a connected worker.

        Raises:
            SkillConflict: one is declared otherwise elsewhere; none was added.
        """
        for skill in skills:
            self._check(skill)
        _, mine = self._by_link.setdefault(link, (process, {}))
        for skill in skills:
            key = (skill.name, skill.version)
            if key not in mine:
                self._links.setdefault(key, []).append(link)
            mine[key] = skill
            self._agents[process or link, key] = agent
        if process is not None:
            # What it declared may have changed with its file.
            self._promised[process] = dict(mine)

    def check(self, skills: list[SkillDeclaration], instead_of: WorkerProcess) -> None:
        """Whether these could be added where that worker was not.

        Raises:
            SkillConflict: one is declared otherwise elsewhere.
        """
        for skill in skills:
            self._check(skill, instead_of)

    def remove(self, link: L) -> None:
        """A worker is gone; skills of a process that will be restarted stay promised."""
        process, mine = self._by_link.pop(link, (None, {}))
        for key in mine:
            self._links[key].remove(link)
            if not self._links[key]:
                del self._links[key]
        if process is None:
            self._forget(link)
        elif process.restarts >= CRASHES_LIMIT:
            self._promised.pop(process, None)

    def _forget(self, owner: L | WorkerProcess) -> None:
        for agent in [key for key in self._sick if key[0] is owner]:
            del self._sick[agent]
        for agent in [key for key in self._labels_of if key[0] is owner]:
            del self._labels_of[agent]
        for skill in [key for key in self._agents if key[0] is owner]:
            del self._agents[skill]

    def ail(self, link: L, process: WorkerProcess | None, agent: str, reason: str) -> str:
        """An agent of a worker cannot work, or can where there is no reason why not.

        Returns:
            Why it could not before; "" where it could.
        """
        key = (process or link, agent)
        before = self._sick.pop(key, "")
        if reason:
            self._sick[key] = reason
        return before

    def ailing(self) -> list[tuple[str, str]]:
        """The agents that cannot work, by name, each with the reason."""
        return sorted((agent, reason) for (_, agent), reason in self._sick.items())

    def _is_well(self, owner: L | WorkerProcess | None, key: Key) -> bool:
        agent = self._agents.get((owner, key), "")
        if owner is None:
            return all(sick != agent for _, sick in self._sick)
        return (owner, agent) not in self._sick

    def links(self, skill: str, version: str) -> list[L]:
        """The workers that run a skill, those of them whose agents can if there are any."""
        links = self._links.get((skill, version), [])
        if not self._sick:
            return links
        well = [k for k in links if self._is_well(self._by_link[k][0] or k, (skill, version))]
        return well or links

    def is_promised(self, skill: str, version: str) -> bool:
        """Whether a process will run it; it is asked to start."""
        key = (skill, version)
        promised = [process for process, skills in self._promised.items() if key in skills]
        for process in promised:
            process.want()
        return bool(promised)

    def changed(self) -> HostSkills | None:
        """Every skill with its slots added up, where that is not what was said before."""
        declared = self._now()
        if declared == self._declared:
            return None
        self._declared = declared
        return declared

    def forget_declared(self) -> None:
        """What `changed` returned was not passed on."""
        self._declared = None

    def _now(self) -> HostSkills:
        well: dict[Key, int] = {}
        sick: dict[Key, int] = {}
        specs: dict[Key, SkillSpec] = {}
        for owner, skills in self._sources():
            for key, skill in skills.items():
                specs.setdefault(key, skill_spec(skill))
                slots = well if self._is_well(owner, key) else sick
                slots[key] = slots.get(key, 0) + skill.slots
        return HostSkills(
            tuple((specs[key], well.get(key) or sick[key]) for key in sorted(specs)),
            tuple(key for key in sorted(specs) if key not in well),
            tuple(sorted({*self._labels, *chain(*self._labels_of.values())})),
        )

    def label(self, link: L, process: WorkerProcess | None, agent: str, labels: list[str]) -> None:
        """What this peer is fit for as long as it has this agent."""
        fit = tuple(label[:LABEL_LIMIT] for label in labels[:LABELS_PER_PEER_LIMIT] if label)
        self._labels_of[process or link, agent] = fit

    def _sources(self) -> list[tuple[L | WorkerProcess | None, dict[Key, SkillDeclaration]]]:
        """Who has which skills: the peer itself, workers, and processes not connected."""
        sources: list[tuple[L | WorkerProcess | None, dict[Key, SkillDeclaration]]] = [
            (None, self._inline)
        ]
        connected: dict[WorkerProcess, None] = {}
        for link, (process, skills) in self._by_link.items():
            sources.append((process or link, skills))
            if process is not None:
                connected[process] = None
        sources += [(p, skills) for p, skills in self._promised.items() if p not in connected]
        return sources

    def _check(self, skill: SkillDeclaration, instead_of: WorkerProcess | None = None) -> None:
        key = (skill.name, skill.version)
        spec = skill_spec(skill)
        size = len(encode(spec))
        if size > SKILL_SPEC_LIMIT:
            raise SkillConflict(
                f"{skill.name}@{skill.version} is described in {size} bytes, and other peers take "
                f"at most {SKILL_SPEC_LIMIT}: shorten its schemas (input "
                f"{len(spec.input_schema)}, output {len(spec.output_schema)} bytes) "
                "or its description"
            )
        if len(spec.requires) > REQUIRES_LIMIT:
            raise SkillConflict(
                f"{skill.name}@{skill.version} asks for over {REQUIRES_LIMIT} labels"
            )
        if len(skill.name) > NAME_LIMIT or len(skill.version) > VERSION_LIMIT:
            raise SkillConflict(
                f"{skill.name[:NAME_LIMIT]}@{skill.version[:NAME_LIMIT]} is too long: the name "
                f"of a skill has at most {NAME_LIMIT} characters, its version {VERSION_LIMIT}"
            )
        others = [self._inline]
        others += [s for p, s in self._by_link.values() if p is None or p is not instead_of]
        for skills in others:
            if key in skills and skill_spec(skills[key]) != spec:
                raise SkillConflict(
                    f"{skill.name}@{skill.version} is declared twice, differently: "
                    "give one of them another version"
                )


def skill_spec(skill: SkillDeclaration) -> SkillSpec:
    """A skill as the core is told of it."""
    return SkillSpec(
        skill.name,
        skill.version,
        skill.input_schema.encode(),
        skill.output_schema.encode(),
        skill.timeout_ms,
        skill.retries,
        skill.description,
        tuple(sorted({*skill.requires})),
    )
