"""Which skills this peer hosts, where they run, and what the core is told of them.

A *promise* is a skill whose worker process is not connected: not started yet,
or about to be restarted. It counts as hosted, so that a crash does not make the
mesh look elsewhere for the tenth of a second that a restart takes; after
`CRASHES_LIMIT` crashes in a row it is withdrawn until the worker is back.
"""

from typing import Generic, TypeVar

from mesh.local.messages import SkillDeclaration
from mesh.runtime.worker_process import WorkerProcess
from protocols.tasks.skills import SKILL_SPEC_LIMIT, SkillSpec
from protocols.wire import encode

CRASHES_LIMIT = 3
NAME_LIMIT = 128
VERSION_LIMIT = 32
"""Characters, as the wire has it (`protocols.gossip.messages.SkillAdvert`)."""

Key = tuple[str, str]
Declared = tuple[tuple[SkillSpec, int], ...]
L = TypeVar("L")


class SkillConflict(Exception):
    """A worker declares a skill otherwise than another one of the same name and version."""


class HostedSkills(Generic[L]):
    """The skills of one peer; `L` is a worker's link."""

    def __init__(self) -> None:
        self._inline: dict[Key, SkillDeclaration] = {}
        self._links: dict[Key, list[L]] = {}
        self._by_link: dict[L, tuple[WorkerProcess | None, dict[Key, SkillDeclaration]]] = {}
        self._promised: dict[WorkerProcess, dict[Key, SkillDeclaration]] = {}
        self._declared: Declared | None = None

    def try_inline(self, skills: list[SkillDeclaration]) -> bool:
        """Skills that the peer itself runs; False where one is declared otherwise elsewhere."""
        try:
            for skill in skills:
                self._check(skill)
        except SkillConflict:
            return False
        self._inline.update({(skill.name, skill.version): skill for skill in skills})
        return True

    def promise(self, process: WorkerProcess, agent: str, skills: list[SkillDeclaration]) -> None:
        """Skills of a worker that starts at their first use."""
        for skill in skills:
            self._check(skill)
        self._promised[process] = {(skill.name, skill.version): skill for skill in skills}

    def withdraw_promise(self, process: WorkerProcess) -> None:
        """This process will not run again."""
        self._promised.pop(process, None)

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
        if process is not None:
            # What it declared may have changed with its file.
            self._promised[process] = dict(mine)

    def remove(self, link: L) -> None:
        """A worker is gone; skills of a process that will be restarted stay promised."""
        process, mine = self._by_link.pop(link, (None, {}))
        for key in mine:
            self._links[key].remove(link)
            if not self._links[key]:
                del self._links[key]
        if process is not None and process.restarts >= CRASHES_LIMIT:
            self._promised.pop(process, None)

    def links(self, skill: str, version: str) -> list[L]:
        """The workers that run a skill."""
        return self._links.get((skill, version), [])

    def is_promised(self, skill: str, version: str) -> bool:
        """Whether a process will run it; it is asked to start."""
        key = (skill, version)
        promised = [process for process, skills in self._promised.items() if key in skills]
        for process in promised:
            process.want()
        return bool(promised)

    def changed(self) -> Declared | None:
        """Every skill with its slots added up, where that is not what was said before."""
        declared = self._now()
        if declared == self._declared:
            return None
        self._declared = declared
        return declared

    def forget_declared(self) -> None:
        """What `changed` returned was not passed on."""
        self._declared = None

    def _now(self) -> Declared:
        slots: dict[Key, int] = {}
        specs: dict[Key, SkillSpec] = {}
        connected = {process for process, _ in self._by_link.values() if process is not None}
        sources = [self._inline, *(skills for _, skills in self._by_link.values())]
        sources += [skills for p, skills in self._promised.items() if p not in connected]
        for skills in sources:
            for key, skill in skills.items():
                specs.setdefault(key, skill_spec(skill))
                slots[key] = slots.get(key, 0) + skill.slots
        return tuple((specs[key], slots[key]) for key in sorted(specs))

    def _check(self, skill: SkillDeclaration) -> None:
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
        if len(skill.name) > NAME_LIMIT or len(skill.version) > VERSION_LIMIT:
            raise SkillConflict(
                f"{skill.name[:NAME_LIMIT]}@{skill.version[:NAME_LIMIT]} is too long: the name "
                f"of a skill has at most {NAME_LIMIT} characters, its version {VERSION_LIMIT}"
            )
        others = [self._inline, *(skills for _, skills in self._by_link.values())]
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
    )
