"""Handlers from what other frameworks built: callables, graphs, crews, pipelines.

Nothing is imported for it; an object counts by the methods that it has. One that takes its
whole input as its first parameter (``invoke(input)``, ``kickoff(inputs)``, ``run(data)``) is
handed the skill's inputs as one dict; others are called by keyword. The schema comes from type
hints where they say something that travels, else anything is taken.
"""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from mesh.agent.context import Context
from mesh.agent.outcome import Result
from mesh.agent.signature import compile_signature

COROUTINES = ("ainvoke", "akickoff", "kickoff_async", "arun", "run_async")
PLAIN = ("invoke", "kickoff", "run")
"""Methods that are looked for in an object, the best first; then it is called itself."""
WHOLE = frozenset({"input", "inputs", "data", "state"})
"""Names of a first parameter that takes the whole input."""
TO_PLAIN = ("to_dict", "dict", "_asdict", "tolist")
"""Methods that make a framework's objects plain, after pydantic's ``model_dump``."""

Parameters = list[inspect.Parameter]


def handler_of(thing: Any, name: str, *, loop: str, method: str, argument: str) -> Any:
    """A handler that calls a thing.

    Args:
        thing: a callable, or an object with one of the methods above.
        name: of the skill.
        loop: of the agent: ``asyncio`` takes methods that are coroutine functions first.
        method: the one to call, where it is not to be found out.
        argument: the skill's one input, which is handed over itself in place of all inputs.

    Raises:
        TypeError: it cannot be called, or its parameters cannot be given by keyword.
    """
    if inspect.isclass(thing):
        raise TypeError(f"skill {name}: {thing.__name__} is a class: add an object of it")
    call, is_foreign = _callable_of(thing, loop, method)
    if inspect.isfunction(call) and not argument:
        return call
    try:
        parameters = list(inspect.signature(call).parameters.values())
    except (TypeError, ValueError):
        raise TypeError(
            f"skill {name}: what {thing!r} takes is not known: wrap it in a function of your own"
        ) from None
    hints = _hints(call)
    first = parameters[0] if parameters else None
    if first is not None and (argument or (is_foreign and first.name in WHOLE)):
        handler = _taking_all(call, name, first, hints, argument)
    else:
        handler = _by_keyword(call, name, parameters, hints)
    if is_foreign or argument:
        _simplify(handler)
    compile_signature(handler, Context)
    return handler


def name_of(thing: Any) -> str:
    """What a thing is called by itself; "" where it is not."""
    own = getattr(thing, "__name__", None) or getattr(thing, "name", None)
    return own if isinstance(own, str) and own != "<lambda>" else ""


def description_of(thing: Any) -> str | None:
    """What an object says of itself; None where its handler's docstring does."""
    if inspect.isroutine(thing):
        return None
    described = getattr(thing, "description", None)
    return described if isinstance(described, str) else ""


def _callable_of(thing: Any, loop: str, method: str) -> tuple[Callable[..., Any], bool]:
    """What is called, and whether it is a framework's method."""
    if inspect.isroutine(thing) or isinstance(thing, functools.partial):
        return thing, False
    names = (*COROUTINES, *PLAIN) if loop == "asyncio" else (*PLAIN, *COROUTINES)
    for name in (method,) if method else names:
        found = getattr(thing, name, None)
        if callable(found):
            return found, True
    if method:
        raise TypeError(f"{thing!r} has no method {method}")
    if callable(thing):
        return thing, False
    raise TypeError(
        f"{thing!r} cannot be called: it has none of {', '.join((*PLAIN, *COROUTINES))}"
    )


def _hints(call: Any) -> dict[str, Any]:
    """Its hints as types; empty where they cannot be resolved."""
    while isinstance(call, functools.partial):
        call = call.func
    if not inspect.isroutine(call):
        call = type(call).__call__
    try:
        hints = typing.get_type_hints(call, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}
    # What a generic class leaves open could be anything.
    return {name: Any if isinstance(h, typing.TypeVar) else h for name, h in hints.items()}


def _taking_all(
    call: Callable[..., Any],
    name: str,
    first: inspect.Parameter,
    hints: dict[str, Any],
    argument: str,
) -> Any:
    by_name = first.kind is first.KEYWORD_ONLY
    hint = hints.get(first.name, Any)
    fields = _fields(hint)

    def all_of(*context: Any, **inputs: Any) -> Any:
        whole: Any = inputs
        if argument:
            whole = inputs[argument]
        elif fields and not typing.is_typeddict(hint):
            whole = hint(**inputs)
        return call(**{first.name: whole}) if by_name else call(whole)

    keyword = inspect.Parameter.KEYWORD_ONLY
    if argument:
        parameters = [inspect.Parameter(argument, keyword, annotation=hint)]
    else:
        parameters = fields or [inspect.Parameter("inputs", inspect.Parameter.VAR_KEYWORD)]
    return _described(all_of, call, name, parameters, hints.get("return", Any))


def _fields(hint: Any) -> Parameters:
    """The fields of a type that stands for an object of inputs; none for other types."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    empty = inspect.Parameter.empty
    if typing.is_typeddict(hint):
        hints = typing.get_type_hints(hint)
        if set(hint.__required_keys__) != set(hints):
            return []  # a key that may be missing is no input with a default
        return [inspect.Parameter(key, keyword, annotation=hints[key]) for key in hints]
    if not (isinstance(hint, type) and dataclasses.is_dataclass(hint)):
        return []
    hints = typing.get_type_hints(hint)
    parameters = []
    for field in dataclasses.fields(hint):
        default = empty if field.default is dataclasses.MISSING else field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        parameters.append(
            inspect.Parameter(field.name, keyword, annotation=hints[field.name], default=default)
        )
    return parameters


def _by_keyword(
    call: Callable[..., Any], name: str, parameters: Parameters, hints: dict[str, Any]
) -> Any:
    kept = [
        parameter.replace(annotation=hints.get(parameter.name, parameter.empty))
        for parameter in parameters
        if parameter.kind is not parameter.VAR_POSITIONAL
    ]
    return _described(call, call, name, kept, hints.get("return", Any))


def _described(
    function: Callable[..., Any], call: Any, name: str, parameters: Parameters, returned: Any
) -> Any:
    """A function that does what another does, makes its result plain, and has this signature."""

    async def awaits(*context: Any, **inputs: Any) -> Any:
        return plain(await function(*context, **inputs))

    def calls(*context: Any, **inputs: Any) -> Any:
        return plain(function(*context, **inputs))

    own = getattr(call, "__name__", "")
    is_async = any(map(inspect.iscoroutinefunction, (call, type(call).__call__)))
    described: Any = awaits if is_async or own in COROUTINES else calls
    described.__name__ = described.__qualname__ = name
    described.__doc__ = inspect.getdoc(call)
    _sign(described, parameters, returned)
    return described


def _sign(handler: Any, parameters: Parameters, returned: Any) -> None:
    handler.__signature__ = inspect.Signature(parameters, return_annotation=returned)
    annotations = {p.name: p.annotation for p in parameters if p.annotation is not p.empty}
    handler.__annotations__ = {**annotations, "return": returned}


def _simplify(handler: Any) -> None:
    """Leaves out hints of a framework's own that say nothing which could travel."""
    signature: inspect.Signature = handler.__signature__
    anything = [inspect.Parameter("inputs", inspect.Parameter.VAR_KEYWORD)]
    unhinted = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    hinted = list(signature.parameters.values())
    for parameters, returned in (
        (hinted, signature.return_annotation),
        (hinted, Any),
        (unhinted, Any),
        (anything, Any),
    ):
        _sign(handler, parameters, returned)
        try:
            compile_signature(handler, Context)
        except (TypeError, NameError):
            continue
        return


def plain(value: Any) -> Any:
    """A framework's result as plain values; a `Result` is left as it is."""
    if isinstance(value, Result):
        return value
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_made_plain)


def _made_plain(value: Any) -> Any:
    if callable(getattr(value, "model_dump", None)):
        return value.model_dump(mode="json")
    for name in TO_PLAIN:
        method = getattr(value, name, None)
        if callable(method):
            return method()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(
        f"a result of {type(value).__name__} cannot travel: add a function that returns what "
        "matters of it"
    )
