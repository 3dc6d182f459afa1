"""Checks values against JSON Schema, compiled once per schema."""

import json
from collections.abc import Callable
from typing import NoReturn

import jsonschema_rs

Check = Callable[[object], str | None]


def compile_schema(schema: bytes) -> Check:
    """A check that answers None for a valid value, else what is wrong and where.

    Raises:
        ValueError: `schema` is not a JSON Schema, or refers to something outside itself.
    """
    parsed = json.loads(schema)
    if parsed in (True, {}):
        return _anything
    validator = jsonschema_rs.validator_for(
        parsed, retriever=_retrieve_nothing, pattern_options=jsonschema_rs.RegexOptions()
    )

    def check(value: object) -> str | None:
        if validator.is_valid(value):
            return None
        error = next(iter(validator.iter_errors(value)))
        path = ".".join(str(step) for step in error.instance_path)
        return f"{path}: {error.message}" if path else str(error.message)

    return check


def _retrieve_nothing(uri: str) -> NoReturn:
    # A schema comes from another peer: it must not make this one read files or dial.
    raise ValueError(f"a schema may not refer to {uri}")


def _anything(value: object) -> str | None:
    return None
