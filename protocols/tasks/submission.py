"""What is checked before tasks are accepted, and what they are then made of.

Nothing is changed here: a submission is refused as a whole, or `plan` gives
what the custodian has to write down.
"""

from collections.abc import Callable

import msgspec

from protocols.errors import Refused
from protocols.machine import MILLISECOND_NS, Now
from protocols.tasks.catalogue import Catalogue, KnownSkill, fault_of
from protocols.tasks.commands import SubmitTasks, TaskSpec
from protocols.tasks.leases import EXCLUSIVE_LIMIT
from protocols.tasks.ledger import Ledger
from protocols.tasks.messages import INPUT_LIMIT
from protocols.tasks.parameters import TaskParameters
from protocols.tasks.skills import LABEL_LIMIT, REQUIRES_LIMIT
from protocols.tasks.task import Envelope, fingerprint, keyed_id

STRATEGIES = ("auction", "board", "direct", "least_loaded")
BUSY_RETRY_NS = 100 * MILLISECOND_NS
NAME_LIMIT = 128
HINTS = 8
"""How many names a refusal offers at most."""
TRACE_LIMIT = 64
KEY_LIMIT = 256
NUMBER_LIMIT = 2**40
"""Milliseconds, priorities, microseconds of weight: far below what arithmetic here minds."""


class InputRefused(Refused):
    """A submission was refused because of one of its tasks, which `index` names."""

    def __init__(self, index: int, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.index = index


class Planned(msgspec.Struct):
    """One task to be: an id of its own where it has a key, else "" until it is accepted."""

    task: str
    spec: TaskSpec
    fingerprint: bytes


class Group(msgspec.Struct):
    """Tasks in a row that were submitted alike."""

    envelope: Envelope
    known: KnownSkill
    tasks: list[Planned]


def _likeness(spec: TaskSpec) -> tuple[object, ...]:
    return (
        spec.skill, spec.version, spec.strategy, spec.to, spec.timeout_ms, spec.deadline_ms,
        spec.retries, spec.priority, spec.budget, spec.traceparent, spec.parent, spec.depth,
        spec.space, spec.principal, spec.requires, spec.submitter, spec.exclusive,
    )  # fmt: skip


class Submissions:
    """The checks of one custodian."""

    def __init__(
        self,
        parameters: TaskParameters,
        ledger: Ledger,
        catalogue: Catalogue,
        may_submit: Callable[[str], bool],
    ) -> None:
        """Takes what is asked; `may_submit(parent)` is False for what a draining peer refuses."""
        self._parameters = parameters
        self._ledger = ledger
        self._catalogue = catalogue
        self._may_submit = may_submit

    def plan(self, command: SubmitTasks, now: Now) -> list[Group] | bytes:
        """All tasks of a submission, checked; or the digest of a spec that is not here yet.

        Raises:
            Refused: with the reason; nothing has changed.
        """
        specs = command.tasks
        if len(specs) > self._parameters.batch_tasks:
            most = self._parameters.batch_tasks
            raise Refused("TooLarge", f"{len(specs)} tasks at once; submit at most {most}")
        self._check_room(specs)
        groups: list[Group] = []
        batch: dict[str, bytes] = {}
        likeness: tuple[object, ...] = ()
        for index, spec in enumerate(specs):
            like = _likeness(spec)
            if like != likeness:
                likeness = like
                made = self._group(index, spec, now)
                if isinstance(made, bytes):
                    return made
                groups.append(made)
            group = groups[-1]
            if not 0 <= spec.weight_us <= NUMBER_LIMIT:
                raise _refused(index, "InvalidInput", "its weight is out of range")
            if len(spec.input) > INPUT_LIMIT:
                raise _refused(
                    index, "TooLarge",
                    f"an input of {len(spec.input)} bytes is over {INPUT_LIMIT}; "
                    "pass a reference to it instead",
                )  # fmt: skip
            fault = fault_of(group.known.check_input, spec.input)
            if fault is not None:
                raise _refused(index, "InvalidInput", f"{spec.skill}: {fault}")
            if spec.key:
                group.tasks.append(self._keyed(index, spec, batch))
            else:
                group.tasks.append(Planned("", spec, b""))
        return groups

    def _check_room(self, specs: tuple[TaskSpec, ...]) -> None:
        size = sum([len(spec.input) for spec in specs])
        if self._ledger.has_room(len(specs), size):
            return
        if size > self._parameters.pending_bytes:
            raise Refused("TooLarge", f"inputs of {size} bytes at once; submit fewer together")
        raise Refused(
            "Busy",
            f"{self._ledger.open_tasks} tasks of {self._ledger.open_bytes} bytes wait here already",
            BUSY_RETRY_NS,
        )

    def _keyed(self, index: int, spec: TaskSpec, batch: dict[str, bytes]) -> Planned:
        task_id = keyed_id(spec.space, spec.key)
        print_ = fingerprint(spec.skill, spec.input)
        there = self._ledger.tasks.get(task_id)
        before = batch.setdefault(task_id, there.fingerprint if there is not None else print_)
        if before != print_ or len(spec.key) > KEY_LIMIT:
            what = "is too long" if len(spec.key) > KEY_LIMIT else "belongs to another task"
            raise _refused(
                index, "KeyConflict",
                f"the key {spec.key[:64]!r} {what}; use one key for one skill and input",
            )  # fmt: skip
        return Planned(task_id, spec, print_)

    def _group(self, index: int, spec: TaskSpec, now: Now) -> Group | bytes:
        if not self._may_submit(spec.parent):
            raise Refused("Draining", "this peer is being stopped; submit to another one")
        if spec.strategy not in STRATEGIES:
            choice = ", ".join(STRATEGIES)
            raise _refused(index, "UnknownStrategy", f"{spec.strategy[:64]!r} is none of {choice}")
        if spec.depth > self._parameters.depth:
            most = self._parameters.depth
            raise _refused(
                index, "TooDeep", f"calls are nested {spec.depth} deep; at most {most} are"
            )
        self._check_fields(index, spec)
        is_direct = spec.strategy == "direct"
        if is_direct and not self._catalogue.is_here(spec.to):
            raise _refused(
                index,
                "UnknownPeer",
                "the peer that `to` names is not alive as this one sees it: it is paused, stopped "
                "or cut off; wait until it is a live peer again, or leave `to` out"
                if spec.to
                else "strategy direct needs `to`, the id of a live peer",
            )
        to = spec.to if is_direct else b""
        newest = self._catalogue.newest
        version = spec.version or newest(spec.skill, to, spec.requires) or newest(spec.skill, to)
        digest = self._catalogue.digest_of(spec.skill, version, to) if version else None
        if version is None or digest is None:
            raise self._unknown_skill(index, spec, to)
        known = self._catalogue.known(digest)
        if known is None:
            return digest
        if isinstance(known, str):
            raise _refused(index, "UnknownSkill", known)
        requires = tuple(sorted({*spec.requires, *known.spec.requires}))
        if requires:
            self._check_labels(index, f"{spec.skill}@{version}", requires, version, to)
        return Group(self._envelope(spec, version, to, known, requires, now), known, [])

    def _check_labels(
        self, index: int, name: str, requires: tuple[str, ...], version: str, to: bytes
    ) -> None:
        """Refuses what no live host of a skill is fit for."""
        hosts = [to] if to else self._catalogue.hosts(name.removesuffix(f"@{version}"), version)
        lacking = [self._catalogue.lacks(peer, requires) for peer in hosts]
        if not all(lacking):
            return
        nowhere = [label for label in requires if all(label in lacks for lacks in lacking)]
        who = "that peer" if to else f"no live peer that hosts {name}"
        if nowhere:
            has = "lacks" if to else "has"
            what = f"{who} {has} the label {' or '.join(map(repr, nowhere))}"
        else:
            _, lacks = min((len(lacks), lacks) for lacks in lacking)
            nearest = " and ".join(map(repr, lacks))
            what = f"{who} has all the labels asked for: the one with most of them lacks {nearest}"
        raise _refused(index, "MissingLabel", f"{what}; `mesh peers` shows who has which")

    def _check_fields(self, index: int, spec: TaskSpec) -> None:
        texts = (spec.space, spec.principal, spec.submitter, spec.parent, spec.traceparent)
        limits = (NAME_LIMIT, NAME_LIMIT, NAME_LIMIT, TRACE_LIMIT, TRACE_LIMIT)
        numbers = (spec.timeout_ms, spec.deadline_ms, spec.depth, spec.budget, abs(spec.priority))
        if any(len(text) > limit for text, limit in zip(texts, limits, strict=True)):
            raise _refused(index, "TooLarge", "a name or trace id is too long")
        if any(not 0 <= number <= NUMBER_LIMIT for number in numbers):
            raise _refused(index, "InvalidInput", "a duration or number is out of range")
        if spec.exclusive is not None and len(spec.exclusive) > EXCLUSIVE_LIMIT:
            most = EXCLUSIVE_LIMIT
            raise _refused(index, "TooLarge", f"the key of an exclusive task is over {most} long")
        if len(spec.requires) > REQUIRES_LIMIT or any(
            not 0 < len(label) <= LABEL_LIMIT for label in spec.requires
        ):
            raise _refused(
                index, "TooLarge",
                f"at most {REQUIRES_LIMIT} labels are asked for, of 1 to {LABEL_LIMIT} characters",
            )  # fmt: skip

    def _unknown_skill(self, index: int, spec: TaskSpec, to: bytes) -> Refused:
        where = "that peer hosts" if to else "no live peer hosts"
        if not spec.skill:
            return _refused(index, "UnknownSkill", f"no skill is named{self._known()}")
        wanted = f"{spec.skill[:64]}@{spec.version[:32]}" if spec.version else spec.skill[:64]
        near = self._catalogue.near(spec.skill)
        if spec.skill in near:
            versions = self._catalogue.versions(spec.skill)[:HINTS]
            hint = f"; {'elsewhere ' if to else ''}there is {', '.join(versions)}"
        elif near:
            hint = f"; did you mean {' or '.join(near)}?"
        else:
            hint = self._known()
        text = f"{where} {'no ' if to else ''}{wanted}{hint}"
        return _refused(index, "UnknownSkill", text)

    def _known(self) -> str:
        names = self._catalogue.names()
        if not names:
            return "; no skill is hosted at all"
        more = f" and {len(names) - HINTS} more" if len(names) > HINTS else ""
        return f"; known: {', '.join(names[:HINTS])}{more}"

    def _envelope(
        self,
        spec: TaskSpec,
        version: str,
        to: bytes,
        known: KnownSkill,
        requires: tuple[str, ...],
        now: Now,
    ) -> Envelope:
        deadline = now.wall_ns + spec.deadline_ms * MILLISECOND_NS if spec.deadline_ms else 0
        return Envelope(
            spec.skill,
            version,
            spec.strategy,
            to,
            spec.timeout_ms or known.spec.timeout_ms,
            deadline,
            spec.retries if spec.retries >= 0 else known.spec.retries,
            spec.priority,
            spec.budget,
            spec.traceparent,
            spec.parent,
            spec.depth,
            spec.space,
            spec.principal,
            requires,
            spec.principal or spec.submitter,
            spec.exclusive,
        )


def _refused(index: int, kind: str, message: str) -> InputRefused:
    # Which input it is, is said by the index alone: only the caller knows how it counts them.
    return InputRefused(index, kind, message)
