"""Keyword inputs as people type them: ``key=text`` and ``key:=json``."""

import json
from typing import Any

import typer


def parse_json(text: str) -> Any:
    """Any JSON value.

    Raises:
        ValueError: it is none, or nested deeper than anything can travel.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def parse_inputs(words: list[str]) -> dict[str, Any]:
    """Reads ``key=text`` and ``key:=json`` words into one object.

    Raises:
        typer.BadParameter: a word is neither, a key comes twice, or the JSON does not parse.
    """
    inputs: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.rstrip(":"):
            raise typer.BadParameter(f"{word!r} is neither key=text nor key:=json")
        value: Any = text
        if key.endswith(":"):
            key = key[:-1]
            try:
                value = parse_json(text)
            except ValueError as error:
                raise typer.BadParameter(f"{word!r}: not JSON: {error}") from None
        if key in inputs:
            raise typer.BadParameter(f"{key!r} is given twice")
        inputs[key] = value
    return inputs
