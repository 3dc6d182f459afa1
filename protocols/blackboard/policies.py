"""What holds for the keys under a prefix: who may write them, how much, of which type.

A policy is an entry itself, a map at ``mesh/policies/PREFIX``, so that it is everywhere
without anybody's doing. Of the prefixes of a key the longest that has a policy counts,
and only that one; prefixes end between slashes. A policy is asked before ops are made, and
what it says of roles also where they are read (`rights`); never where they arrive, because
replicas that refused what others took would differ for ever. A policy that is none counts
as none.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import msgspec

from protocols.blackboard.keys import TYPES
from protocols.blackboard.pheromones import HALF_LIFE_LIMIT_MS
from protocols.blackboard.replica import Replica
from protocols.blackboard.rights import POLICIES_PREFIX, Shown
from protocols.credentials import ROLE_POLICIES
from protocols.errors import Refused

HISTORY_LIMIT = 1000
"""Items of a log that a policy may keep: each append looks at them all."""
ROLES_LIMIT = 16
COMPILED_LIMIT = 256
"""Policies that are kept decoded, with their schemas compiled."""

Check = Callable[[object], str | None]
"""Answers None for a valid value, else what is wrong with it."""
CompileSchema = Callable[[bytes], Check]
"""Makes a check of a JSON Schema. Raises ValueError: it is none."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an entry under `POLICIES_PREFIX` may say.

    Attributes:
        roles: who may write has one of these in its credential; anybody where there are none.
        quota_bytes: of the live ops of one writer under the prefix; 0 for no bound.
        type: of keys that are new, where the action leaves it open; one of `keys.TYPES`.
        schema: a JSON Schema of values, elements and items, as text or as a map; or None.
        history: how many items a log keeps; 0 for all.
        half_life_ms: of deposits that do not say; 0 for the default.
    """

    roles: Annotated[tuple[str, ...], msgspec.Meta(max_length=ROLES_LIMIT)] = ()
    quota_bytes: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    type: str = ""
    schema: Any = None
    history: Annotated[int, msgspec.Meta(ge=0, le=HISTORY_LIMIT)] = 0
    half_life_ms: Annotated[int, msgspec.Meta(ge=0, le=HALF_LIFE_LIMIT_MS)] = 0


THE_POLICIES = Policy(roles=(ROLE_POLICIES,))
"""Of the policies themselves, whatever any of them says."""


class Rule:
    """A policy, the prefix that it is of, and its schema compiled."""

    def __init__(self, prefix: str, policy: Policy, check: Check | None) -> None:
        self.prefix = prefix
        self.policy = policy
        self._check = check

    def admit(self, key: str, roles: Iterable[str]) -> None:
        """Asserts that a writer with these roles may write.

        Raises:
            Refused: NotAllowed.
        """
        wanted = self.policy.roles
        if wanted and not any(role in wanted for role in roles):
            has = ", ".join(roles) or "none"
            raise Refused(
                "NotAllowed",
                f"{key} is written by peers with the role {' or '.join(wanted)} alone, and this "
                f"one has {has}: write through such a peer, or give it the role by "
                "`mesh renew --role` where an issuer's key is (docs/how-to/set-policies.md)",
            )

    def examine(self, key: str, value: bytes) -> None:
        """Asserts that a value, an element or an item is as the schema wants it.

        Raises:
            Refused: SchemaMismatch.
        """
        if self._check is None:
            return
        try:
            fault = self._check(msgspec.msgpack.decode(value))
        except (TypeError, ValueError, RecursionError) as error:
            fault = f"not what JSON can say: {error}"
        if fault is not None:
            raise Refused("SchemaMismatch", f"{key}: {fault[:500]}")


class Policies:
    """Finds the rule for a key.

    Args:
        replica: holds the policies among all entries.
        compile_schema: see `CompileSchema`.
        roles: gives those of this peer's credential.
    """

    def __init__(
        self,
        replica: Replica,
        compile_schema: CompileSchema,
        roles: Callable[[], tuple[str, ...]],
    ) -> None:
        self._replica = replica
        replica.mask = self.mask
        self._compile = compile_schema
        self.roles = roles
        self._rules: dict[tuple[str, bytes], Rule | None] = {}
        self._wanted: dict[str, tuple[str, ...]] = {}
        """The roles that policies name, by their keys, as of the last look."""

    def take_moved(
        self, changed: Mapping[str, object], wall_ms: int, is_rights_new: bool
    ) -> list[str]:
        """The prefixes below which others' ops show than before, since keys changed.

        `is_rights_new`: writers have more roles than before, so all that name roles count.
        """
        names = [*self._wanted, *self._replica.policies] if is_rights_new else changed
        moved = []
        for name in dict.fromkeys(names) if self._wanted or self._replica.policies else ():
            if name.startswith(POLICIES_PREFIX):
                prefix = name.removeprefix(POLICIES_PREFIX)
                entry = self._replica.read(name, wall_ms)
                rule = self._read(prefix, entry.value) if entry is not None else None
                wanted = rule.policy.roles if rule is not None else ()
                if wanted != self._wanted.get(name, ()) or (is_rights_new and wanted):
                    moved.append(prefix)
                self._wanted[name] = wanted
                if not wanted:
                    del self._wanted[name]
        return moved

    @property
    def decoded(self) -> int:
        """How many policies are kept decoded."""
        return len(self._rules)

    def rule_for(self, key: str, wall_ms: int) -> Rule | None:
        """That of the longest prefix of the key that has one."""
        if not self._replica.policies:
            return None
        prefix = key
        while prefix:
            name = POLICIES_PREFIX + prefix
            if self._replica.state(name) is not None:
                entry = self._replica.read(name, wall_ms)
                rule = self._read(prefix, entry.value) if entry is not None else None
                if rule is not None:
                    return rule
            prefix = prefix.rpartition("/")[0]
        return None

    def mask(self, key: str, wall_ms: int) -> Shown | None:
        """Whose ops show at a key; None for everybody's. The same at every replica."""
        if key.startswith(POLICIES_PREFIX):
            # One policy more would bind itself: the reading of them all rests on roles alone.
            return self._replica.rights.mask(THE_POLICIES.roles)
        rule = self.rule_for(key, wall_ms)
        if rule is None or not rule.policy.roles:
            return None
        return self._replica.rights.mask(rule.policy.roles)

    def admit(self, key: str) -> None:
        """Asserts that this peer sets policies, where a key is one's.

        Raises:
            Refused: NotAllowed.
        """
        if key.startswith(POLICIES_PREFIX):
            Rule(POLICIES_PREFIX, THE_POLICIES, None).admit(key, self.roles())

    def examine(self, key: str, value: bytes) -> None:
        """Asserts that what is put at a key is a policy, where it should be one.

        Raises:
            Refused: BadValue.
        """
        if key.startswith(POLICIES_PREFIX):
            try:
                self._parse(key.removeprefix(POLICIES_PREFIX), value)
            except ValueError as error:
                raise Refused("BadValue", f"{key} would be no policy: {error}") from None

    def _read(self, prefix: str, value: bytes) -> Rule | None:
        if (prefix, value) not in self._rules:
            if len(self._rules) >= COMPILED_LIMIT:
                self._rules.clear()
            try:
                self._rules[prefix, value] = self._parse(prefix, value)
            except ValueError:
                self._rules[prefix, value] = None
        return self._rules[prefix, value]

    def _parse(self, prefix: str, value: bytes) -> Rule:
        try:
            policy = msgspec.msgpack.decode(value, type=Policy)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(str(error)) from None
        if policy.type and policy.type not in TYPES:
            raise ValueError(f"no type {policy.type!r}; there are: {', '.join(TYPES)}")
        check = None
        if policy.schema is not None:
            try:
                schema = policy.schema
                text = schema if isinstance(schema, str | bytes) else json.dumps(schema)
                check = self._compile(text if isinstance(text, bytes) else text.encode())
            except (TypeError, ValueError, RecursionError) as error:
                raise ValueError(f"no JSON Schema: {error}") from None
        return Rule(prefix, policy, check)
