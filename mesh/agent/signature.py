"""From type hints to JSON Schema, and to converters of inputs and outputs.

A signature becomes a struct with one field per keyword input, and msgspec does
the rest. Values arrive plain (what JSON can say), so bytes are base64 text and
dates are ISO text; converters know that from the hints.
"""

import inspect
import json
import types
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from mesh.agent.outcome import Result
from mesh.agent.redaction import redactor
from mesh.local.messages import INPUT_LIMIT
from mesh.local.sensitive import Marks, is_marked

ReadInput = Callable[[msgspec.Raw], dict[str, Any]]
WriteOutput = Callable[[Any], msgspec.Raw]
ReadOutput = Callable[[Any], Any]

_decode = msgspec.msgpack.Decoder().decode
_encode = msgspec.msgpack.Encoder().encode
_SHOWN_DEFAULTS = (types.NoneType, bool, int, float, str)


class InvalidInput(Exception):
    """Inputs do not fit the handler's parameters."""


class InvalidOutput(Exception):
    """What the handler returned does not fit its annotation, or cannot travel."""


class Signature(NamedTuple):
    """A compiled signature. Schemas are JSON text."""

    takes_context: bool
    input_schema: str
    output_schema: str
    read_input: ReadInput
    write_output: WriteOutput
    read_output: ReadOutput
    """From a plain value to what the annotation says, for callers that have the function."""
    may_return_inputs: bool = False
    """Its result is marked as sensitive, so sensitive inputs may be in it."""


def compile_signature(function: Callable[..., Any], context: type) -> Signature:
    """Compiles a handler's signature.

    Args:
        function: the handler.
        context: the class whose annotation marks the first parameter as the context.

    Raises:
        TypeError: a parameter or a type that cannot be filled from keyword inputs.
    """
    parameters = list(inspect.signature(function).parameters.values())
    hints = _type_hints(function, context)
    takes_context = bool(parameters) and _is_context(parameters[0], hints, context)
    if takes_context:
        del parameters[0]
    try:
        input_schema, read_input = _compile_input(function.__name__, parameters, hints)
        output_schema, write_output, read_output = _compile_output(hints.get("return", Any))
    except (TypeError, ValueError) as error:
        raise TypeError(f"skill {function.__name__}: {error}") from error
    if is_marked(input_schema):
        read_input = _discreet(read_input, Marks(input_schema))
    return Signature(
        takes_context,
        input_schema,
        output_schema,
        read_input,
        write_output,
        read_output,
        is_marked(output_schema),
    )


def _discreet(read: ReadInput, marks: Marks) -> ReadInput:
    """Reads inputs after what is sensitive among them is kept out of this process's texts."""

    def read_discreetly(raw: msgspec.Raw) -> dict[str, Any]:
        for name, text in marks.found(_decoded(raw)):
            redactor.keep_input_out(text, name)
        return read(raw)

    return read_discreetly


def _type_hints(function: Callable[..., Any], context: type) -> dict[str, Any]:
    """The hints, with Context known even where it was imported for type checkers only."""
    names = {context.__name__: context}
    hints = typing.get_type_hints(function, localns=names, include_extras=True)
    return {name: _any_for_object(hint) for name, hint in hints.items()}


def _any_for_object(hint: Any) -> Any:
    """`object` says as much as Any, but converters do not know it."""
    if hint is object:
        return Any
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin not in (dict, list, tuple, set, frozenset, types.UnionType, typing.Union):
        return hint
    replaced = tuple(_any_for_object(argument) for argument in arguments)
    if replaced == arguments:
        return hint
    return Any if origin in (types.UnionType, typing.Union) else origin[replaced]


def _is_context(parameter: inspect.Parameter, hints: dict[str, Any], context: type) -> bool:
    if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
        return False
    hint = hints.get(parameter.name)
    return hint is context or (hint is None and parameter.name == "ctx")


def _compile_input(
    name: str, parameters: list[inspect.Parameter], hints: dict[str, Any]
) -> tuple[str, ReadInput]:
    fields: list[Any] = []
    names: list[str] = []
    extra: Any = None
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            extra = hints.get(parameter.name, Any)
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise TypeError(f"parameter {parameter.name!r} cannot be given by keyword")
        fields.append(_field(parameter, hints.get(parameter.name, Any)))
        names.append(parameter.name)
    struct = msgspec.defstruct(
        f"{name}_input", fields, kw_only=True, forbid_unknown_fields=extra is None
    )
    schema = _input_schema(struct, extra)
    if extra is not None and not names and extra is Any:
        return schema, _read_object
    return schema, _input_reader(struct, frozenset(names), extra)


def _field(parameter: inspect.Parameter, hint: Any) -> Any:
    default = parameter.default
    if default is parameter.empty:
        return (parameter.name, hint)
    if default is None:
        return (parameter.name, hint | None if hint is not Any else Any, None)
    if isinstance(default, _SHOWN_DEFAULTS):
        return (parameter.name, hint, default)
    return (parameter.name, hint, msgspec.field(default_factory=lambda: default))


def _input_schema(struct: type[msgspec.Struct], extra: Any) -> str:
    kinds = [struct] if extra is None else [struct, extra]
    (reference, *others), components = msgspec.json.schema_components(
        kinds, ref_template="#/$defs/{name}"
    )
    own = reference["$ref"].rpartition("/")[2]
    schema = components.pop(own)
    schema.pop("title", None)
    if others and others[0] != {}:
        schema["additionalProperties"] = others[0]
    if components:
        schema["$defs"] = components
    return json.dumps(schema, separators=(",", ":"))


def _decoded(raw: msgspec.Raw) -> dict[str, Any]:
    try:
        value = _decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInput(f"not MessagePack: {error}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"the inputs of a skill are an object, not {type(value).__name__}")
    return value


def _read_object(raw: msgspec.Raw) -> dict[str, Any]:
    """For a handler of ``**inputs`` alone."""
    value = _decoded(raw)
    for key in value:
        if not isinstance(key, str):
            raise InvalidInput(f"the names of inputs are text, not {key!r}")
    return value


def _input_reader(struct: type[msgspec.Struct], names: frozenset[str], extra: Any) -> ReadInput:
    convert = msgspec.convert
    asdict = msgspec.structs.asdict

    def read(raw: msgspec.Raw) -> dict[str, Any]:
        value = _decoded(raw)
        try:
            return asdict(convert(value, struct, str_keys=True))
        except msgspec.ValidationError as error:
            raise InvalidInput(str(error)) from None

    def read_with_extra(raw: msgspec.Raw) -> dict[str, Any]:
        inputs = read(raw)
        others = {name: v for name, v in _read_object(raw).items() if name not in names}
        try:
            inputs.update(convert(others, dict[str, extra], str_keys=True))
        except msgspec.ValidationError as error:
            raise InvalidInput(str(error)) from None
        return inputs

    return read if extra is None else read_with_extra


def _compile_output(hint: Any) -> tuple[str, WriteOutput, ReadOutput]:
    if typing.get_origin(hint) is Result:
        hint = typing.get_args(hint)[0]
    elif hint is Result:
        hint = Any
    hint = _any_for_object(hint)
    if hint is Any:
        return "{}", _write_anything, _read_anything
    schema = json.dumps(msgspec.json.schema(hint), separators=(",", ":"))
    convert = msgspec.convert

    def read(plain: Any) -> Any:
        return convert(plain, hint, str_keys=True)

    def write(value: Any) -> msgspec.Raw:
        plain = _plain(value)
        try:
            read(plain)
        except msgspec.ValidationError as error:
            raise InvalidOutput(str(error)) from None
        return _encoded(plain)

    return schema, write, read


def _read_anything(plain: Any) -> Any:
    return plain


def _write_anything(value: Any) -> msgspec.Raw:
    return _encoded(_plain(value))


def _plain(value: Any) -> Any:
    try:
        return msgspec.to_builtins(value, str_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidOutput(f"{type(value).__name__}: {error}") from None


def _encoded(plain: Any) -> msgspec.Raw:
    try:
        raw = msgspec.Raw(_encode(plain))
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidOutput(str(error)) from None
    size = memoryview(raw).nbytes
    if size > INPUT_LIMIT:
        raise InvalidOutput(f"a result of {size} bytes is over the limit of {INPUT_LIMIT}")
    return raw
