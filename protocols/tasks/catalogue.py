"""Who hosts which skill, and what each skill is.

Members say `name@version` with a digest; the spec behind a digest is asked for
once, kept on disk (one's own too), and compiled when it is first needed. A custodian can
so check inputs and outputs of skills that it does not host, also just after a restart,
when it does not yet know of anybody who does.
"""

import difflib
from collections.abc import Callable

import msgspec

from protocols.identity import text_id
from protocols.tasks.commands import HostSkills, PeerLoad, PeerUp
from protocols.tasks.messages import DescribeSkill, SkillDescribed
from protocols.tasks.nesting import NESTING_LIMIT, is_too_deep
from protocols.tasks.outbox import Outbox
from protocols.tasks.parameters import MEMBERS_LIMIT, NEVER, SPECS_LIMIT, TaskParameters
from protocols.tasks.records import SpecRecorded
from protocols.tasks.skills import SKILL_SPEC_LIMIT, SkillSpec
from protocols.tasks.versions import Order, version_order

Check = Callable[[object], str | None]
Compile = Callable[[bytes], Check]

ANYTHING = (b"{}", b"true")
ASKED_AT_ONCE = 8
_decoder = msgspec.msgpack.Decoder(SkillSpec)


class KnownSkill:
    """A spec, and its checks; None where anything is valid."""

    __slots__ = ("check_input", "check_output", "spec")

    def __init__(self, spec: SkillSpec, compile_schema: Compile) -> None:
        """Compiles the schemas.

        Raises:
            ValueError: one of them is no JSON Schema.
        """
        self.spec = spec
        self.check_input = _compiled(spec.input_schema, compile_schema)
        self.check_output = _compiled(spec.output_schema, compile_schema)


def _compiled(schema: bytes, compile_schema: Compile) -> Check | None:
    return None if schema in ANYTHING else compile_schema(schema)


def fault_of(check: Check | None, value: msgspec.Raw) -> str | None:
    """What is wrong with an encoded value, or None. Never raises."""
    if is_too_deep(value):
        return f"a value nested deeper than {NESTING_LIMIT}"
    if check is None:
        return None
    try:
        return check(msgspec.msgpack.decode(value))
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
        return f"not a value of JSON: {error}"


class _Wanted:
    """A spec that is asked for."""

    __slots__ = ("again_at", "asked")

    def __init__(self) -> None:
        self.again_at = 0
        self.asked = 0


class Catalogue:
    """Members, their skills, and the specs."""

    def __init__(
        self, me: bytes, parameters: TaskParameters, compile_schema: Compile, outbox: Outbox
    ) -> None:
        self._me = me
        self._parameters = parameters
        self._compile = compile_schema
        self._outbox = outbox
        self.members: dict[bytes, PeerUp] = {}
        self._loads: dict[bytes, int] = {}
        """Of members, in milliseconds, as they said last."""
        self._names: dict[bytes, str] = {}
        """Also of peers that are gone; the oldest make room."""
        self._hosts: dict[tuple[str, str], dict[bytes, bytes]] = {}
        self._own: dict[tuple[str, str], SkillSpec] = {}
        self._labels: frozenset[str] = frozenset()
        self._sick: dict[tuple[str, str], dict[bytes, None]] = {}
        self._specs: dict[bytes, SkillSpec] = {}
        self._kept: dict[bytes, None] = {}
        """The specs on disk."""
        self._latest: dict[tuple[str, str], bytes] = {}
        """Of those, the one that came last, by skill and version."""
        self._known: dict[bytes, KnownSkill | str] = {}
        self._wanted: dict[bytes, _Wanted] = {}

    # Members.

    def up(self, member: PeerUp, now: int) -> None:
        """A member, or what it hosts now."""
        if member.peer not in self.members and len(self.members) >= MEMBERS_LIMIT:
            return
        load_ms = self.load_of(member.peer)
        self.down(member.peer)
        self._loads[member.peer] = load_ms
        self.members[member.peer] = member
        self._names[member.peer] = member.name
        if len(self._names) > MEMBERS_LIMIT:
            del self._names[next(iter(self._names))]
        for name, version, digest in member.skills:
            self._hosts.setdefault((name, version), {})[member.peer] = digest
            self.want(digest, now)
        self._ail(member.peer, member.sick)

    def down(self, peer: bytes) -> None:
        """A member is gone."""
        self._loads.pop(peer, None)
        member = self.members.pop(peer, None)
        if member is not None:
            self._unhost(peer, tuple((name, version) for name, version, _ in member.skills))

    def loaded(self, command: PeerLoad) -> None:
        """A member says how much it has to do, or this peer itself."""
        if command.peer in self.members or command.peer == self._me:
            self._loads[command.peer] = command.load_ms

    def load_of(self, peer: bytes) -> int:
        """What a member has to do, milliseconds, as it said last; 0 where it said nothing."""
        return self._loads.get(peer, 0)

    def host(self, command: HostSkills) -> None:
        """What this peer hosts itself, in all."""
        specs = [spec for spec, _ in command.skills]
        self._labels = frozenset(command.labels)
        self._unhost(self._me, tuple(self._own))
        self._own = {(spec.name, spec.version): spec for spec in specs}
        for key, spec in self._own.items():
            digest = spec.digest()
            self._wanted.pop(digest, None)
            if digest not in self._kept:
                self.keep(spec)
                self._outbox.persist(SpecRecorded(spec))
            self._hosts.setdefault(key, {})[self._me] = digest
        self._ail(self._me, command.sick)

    def _ail(self, peer: bytes, sick: tuple[tuple[str, str], ...]) -> None:
        for key in sick:
            if peer in self._hosts.get(key, ()):
                self._sick.setdefault(key, {})[peer] = None

    def _unhost(self, peer: bytes, keys: tuple[tuple[str, str], ...]) -> None:
        for key in keys:
            hosts = self._hosts.get(key)
            if hosts is not None and hosts.pop(peer, None) is not None and not hosts:
                del self._hosts[key]
            sick = self._sick.get(key)
            if sick is not None and sick.pop(peer, NEVER) is None and not sick:
                del self._sick[key]

    def is_here(self, peer: bytes) -> bool:
        """Whether a peer is this one, or a live member."""
        return peer == self._me or peer in self.members

    def name_of(self, peer: bytes) -> str:
        """A peer's name for people."""
        return self._names.get(peer, "its custodian" if peer == self._me else text_id(peer))

    def hosts(self, skill: str, version: str, requires: tuple[str, ...] = ()) -> list[bytes]:
        """The live peers that host a skill and have these labels."""
        hosts = self._hosts.get((skill, version), ())
        return [peer for peer in hosts if not self.lacks(peer, requires)]

    def able(self, skill: str, version: str, requires: tuple[str, ...] = ()) -> list[bytes]:
        """Those of the hosts whose agents can work now."""
        sick = self._sick.get((skill, version), ())
        return [peer for peer in self.hosts(skill, version, requires) if peer not in sick]

    def lacks(self, peer: bytes, requires: tuple[str, ...]) -> list[str]:
        """The labels of these that a peer does not have."""
        if not requires:
            return []
        member = self.members.get(peer)
        labels = self._labels if peer == self._me else member.labels if member is not None else ()
        return [label for label in requires if label not in labels]

    # Skills.

    def newest(self, skill: str, peer: bytes = b"", requires: tuple[str, ...] = ()) -> str | None:
        """The highest version that anyone (or `peer`) with these labels hosts, or None.

        Those that can work somewhere now come before those that can nowhere.
        """
        found: list[tuple[bool, Order, str]] = []
        for (name, version), hosts in self._hosts.items():
            if name != skill:
                continue
            fit = [p for p in hosts if peer in (b"", p) and not self.lacks(p, requires)]
            if fit:
                sick = self._sick.get((name, version), {})
                is_well = any(each not in sick for each in fit)
                found.append((is_well, version_order(version), version))
        return max(found)[2] if found else None

    def near(self, skill: str) -> list[str]:
        """Hosted skills with a name like this one."""
        names = list(dict.fromkeys(name for name, _ in self._hosts))
        return difflib.get_close_matches(skill[:128], names, n=3)

    def versions(self, skill: str) -> list[str]:
        """Every version of a skill that a live peer hosts, as ``name@version``, highest first."""
        found = [version for name, version in self._hosts if name == skill]
        return [f"{skill}@{each}" for each in sorted(found, key=version_order, reverse=True)]

    def names(self) -> list[str]:
        """All hosted skills."""
        return sorted({name for name, _ in self._hosts})

    def digest_of(self, skill: str, version: str, peer: bytes = b"") -> bytes | None:
        """The digest of the spec that counts: of `peer`, else our own, else the most hosted."""
        hosts = self._hosts.get((skill, version))
        if not hosts:
            return None
        if peer:
            return hosts.get(peer)
        if self._me in hosts:
            return hosts[self._me]
        digests = list(hosts.values())
        return max(sorted(dict.fromkeys(digests)), key=digests.count)

    def known(self, digest: bytes) -> KnownSkill | str | None:
        """The skill behind a digest; a text where it cannot be used; None where not here yet."""
        known = self._known.get(digest)
        if known is not None:
            return known
        spec = self._specs.get(digest)
        if spec is None:
            return None
        try:
            known = KnownSkill(spec, self._compile)
        except (ValueError, TypeError, RecursionError) as error:
            known = f"the schema of {spec.name}@{spec.version} does not compile: {error}"
        if len(self._known) >= SPECS_LIMIT:
            self._known.clear()
        self._known[digest] = known
        return known

    def skill(self, name: str, version: str, peer: bytes = b"") -> KnownSkill | None:
        """The skill as far as it is known and usable here."""
        digest = self.digest_of(name, version, peer)
        known = self.known(digest) if digest is not None else None
        return known if isinstance(known, KnownSkill) else None

    def remembered(self, name: str, version: str) -> KnownSkill | None:
        """The skill as it was known last, where nobody is known to host it now."""
        digest = self._latest.get((name, version))
        known = self.known(digest) if digest is not None else None
        return known if isinstance(known, KnownSkill) else None

    def output_schema(self, name: str, version: str) -> bytes:
        """The schema of a skill's results, ``{}`` where it is not known; changes nothing."""
        digest = self.digest_of(name, version) or self._latest.get((name, version), b"")
        spec = self._specs.get(digest)
        return b"{}" if spec is None or not spec.output_schema else spec.output_schema

    # Fetching specs.

    def want(self, digest: bytes, now: int) -> None:
        """Asks for a spec, unless it is here or asked for."""
        if digest in self._specs or digest in self._wanted or len(self._wanted) >= SPECS_LIMIT:
            return
        self._wanted[digest] = _Wanted()
        self._ask(digest, now)

    def _ask(self, digest: bytes, now: int) -> None:
        peers = [
            member.peer
            for member in self.members.values()
            if any(skill[2] == digest for skill in member.skills)
        ]
        if not peers:
            del self._wanted[digest]
            return
        wanted = self._wanted[digest]
        self._outbox.send_promptly(peers[wanted.asked % len(peers)], DescribeSkill(digest))
        wanted.asked += 1
        pause = self._parameters.describe_again_ns << min(wanted.asked - 1, 8)
        wanted.again_at = now + pause

    def describe(self, link: bytes, message: DescribeSkill) -> None:
        """A peer asks for a spec."""
        spec = self._specs.get(message.digest)
        if spec is not None:
            encoded = msgspec.msgpack.encode(spec)
            if len(encoded) <= SKILL_SPEC_LIMIT:
                self._outbox.send_promptly(link, SkillDescribed(message.digest, encoded))

    def described(self, link: bytes, message: SkillDescribed) -> bool:
        """A spec arrives. True where it was wanted and is right."""
        if message.digest not in self._wanted:
            return False
        try:
            spec = _decoder.decode(message.spec)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            self._outbox.blame(link, "a skill's spec that does not decode")
            return False
        if spec.digest() != message.digest:
            self._outbox.blame(link, "a skill's spec that is not what was asked for")
            return False
        del self._wanted[message.digest]
        self.keep(spec)
        self._outbox.persist(SpecRecorded(spec))
        return True

    def keep(self, spec: SkillSpec) -> None:
        """A spec is on disk; the oldest ones that nobody hosts make room."""
        digest = spec.digest()
        self._specs[digest] = spec
        self._kept[digest] = None
        self._latest[spec.name, spec.version] = digest
        if len(self._kept) > SPECS_LIMIT:
            used = {d for hosts in self._hosts.values() for d in hosts.values()}
            unused = [d for d in self._kept if d not in used] or list(self._kept)
            for old in unused[: max(1, len(unused) // 2)]:
                self._drop(old)

    def _drop(self, digest: bytes) -> None:
        del self._kept[digest]
        self._known.pop(digest, None)
        spec = self._specs.pop(digest, None)
        if spec is not None and self._latest.get((spec.name, spec.version)) == digest:
            del self._latest[spec.name, spec.version]

    def kept(self) -> list[SkillSpec]:
        """The specs that a snapshot keeps."""
        return [self._specs[digest] for digest in self._kept if digest in self._specs]

    def wake(self, now: int) -> None:
        """Asks again for what did not come."""
        due = [digest for digest, wanted in self._wanted.items() if wanted.again_at <= now]
        for digest in due[:ASKED_AT_ONCE]:
            self._ask(digest, now)

    def deadline(self) -> int:
        """When `wake` is wanted."""
        if not self._wanted:
            return NEVER
        return min(wanted.again_at for wanted in self._wanted.values())
