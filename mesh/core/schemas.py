"""Checks values against JSON Schema, compiled once per schema."""

import json
from collections.abc import Callable
from itertools import islice
from typing import NoReturn

import jsonschema_rs

Check = Callable[[object], str | None]
SENSITIVE, MASK = b'"sensitive":true', "[sensitive]"
"""How a schema marks a value, and what stands for values of such a schema in faults."""
FAULTS_SHOWN = 3
"""A name that was misspelt is two faults: one too many, and one that is missing."""


def compile_schema(schema: bytes) -> Check:
    """A check that answers None for a valid value, else what is wrong and where.

    Raises:
        ValueError: `schema` is not a JSON Schema, or refers to something outside itself.
    """
    parsed = json.loads(schema)
    if parsed in (True, {}):
        return _anything
    validator = jsonschema_rs.validator_for(
        parsed,
        retriever=_retrieve_nothing,
        pattern_options=jsonschema_rs.RegexOptions(),
        # What is wrong with a value that people shall not read is told without it.
        mask=MASK if SENSITIVE in schema.replace(b" ", b"") else None,
    )
    return _Compiled(schema, validator)


class _Compiled:
    """A check by a compiled schema, and the text that it came from."""

    def __init__(self, schema: bytes, validator: jsonschema_rs.Validator) -> None:
        self._schema = schema
        self._validator = validator

    def __call__(self, value: object) -> str | None:
        if self._validator.is_valid(value):
            return None
        faults = islice(self._validator.iter_errors(value), FAULTS_SHOWN)
        return "; ".join(_fault(error) for error in faults)

    def __reduce__(self) -> tuple[Callable[[bytes], Check], tuple[bytes]]:
        return compile_schema, (self._schema,)


def _fault(error: jsonschema_rs.ValidationError) -> str:
    path = ".".join(str(step) for step in error.instance_path)
    return f"{path}: {error.message}" if path else str(error.message)


def _retrieve_nothing(uri: str) -> NoReturn:
    # A schema comes from another peer: it must not make this one read files or dial.
    raise ValueError(f"a schema may not refer to {uri}")


def _anything(value: object) -> str | None:
    return None
