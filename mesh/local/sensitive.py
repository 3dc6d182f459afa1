"""Values that are marked as sensitive: found by a skill's schema, and masked where they are shown.

``Annotated[str, Sensitive]`` puts ``"sensitive": true`` into the JSON Schema of a parameter,
a field or a result. All who know the schema know which values are meant, in any language.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

KEY = "sensitive"
MASK = "[sensitive]"
Sensitive = msgspec.Meta(extra_json_schema={KEY: True})
"""Marks a value that people shall not read: ``password: Annotated[str, Sensitive]``."""
SCHEMA_DEPTH = 64
VISITS_LIMIT = 200_000
"""Places of a value looked at in one question; a schema that needs more marks all of it."""

Seen = Callable[[str, Any], Any]


def is_marked(schema: str) -> bool:
    """Whether anything in a schema, as JSON text, is marked."""
    return f'"{KEY}":true' in schema.replace(" ", "")


class _TooMuch(Exception):
    """A schema sends the search in circles."""


class Marks:
    """The marked places of one schema."""

    def __init__(self, schema: str) -> None:
        """Takes JSON text."""
        self._left = 0
        self._schema = json.loads(schema)
        self._defs: Mapping[str, Any] = (
            self._schema.get("$defs", {}) if isinstance(self._schema, dict) else {}
        )

    def masked(self, value: Any) -> Any:
        """A plain value, with `MASK` in place of each marked one."""
        self._left = VISITS_LIMIT
        try:
            return self._walk(self._schema, value, "", lambda name, found: MASK, 0)
        except _TooMuch:
            return MASK

    def found(self, value: Any) -> Iterator[tuple[str, str]]:
        """The marked texts and numbers in a plain value, each with the name of its place."""
        places: list[tuple[str, Any]] = []

        def see(name: str, found: Any) -> Any:
            places.append((name, found))
            return found

        self._left = VISITS_LIMIT
        try:
            self._walk(self._schema, value, "value", see, 0)
        except _TooMuch:
            places = [("value", value)]
        for name, found in places:
            for text in _texts(found):
                yield name, text

    def _walk(self, schema: Any, value: Any, name: str, see: Seen, depth: int) -> Any:
        if not isinstance(schema, dict) or depth > SCHEMA_DEPTH:
            return value
        self._left -= 1
        if not self._left:
            raise _TooMuch
        if schema.get(KEY) is True:
            return see(name, value)
        reference = schema.get("$ref", "")
        if reference:
            known = self._defs.get(str(reference).rpartition("/")[2])
            value = self._walk(known, value, name, see, depth + 1)
        for either in ("anyOf", "oneOf", "allOf"):
            for branch in schema.get(either, ()):
                value = self._walk(branch, value, name, see, depth + 1)
        if isinstance(value, dict):
            known = schema.get("properties", {})
            others = schema.get("additionalProperties")
            return {
                key: self._walk(known.get(key, others), each, str(key), see, depth + 1)
                for key, each in value.items()
            }
        if isinstance(value, list):
            first, rest = schema.get("prefixItems", ()), schema.get("items")
            return [
                self._walk(first[at] if at < len(first) else rest, each, name, see, depth + 1)
                for at, each in enumerate(value)
            ]
        return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(key)
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
