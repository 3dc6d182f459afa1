"""The whole memory of a core as bytes: what a recording goes on from.

`PeerCore.snapshot` holds what must survive a restart. An image holds all of it:
timers, links, rumours, what waits at the gate, the state of the random generators.
A core that is thawed from it goes on exactly where the frozen one was.

What was injected is not in it. Whoever freezes injects a keyring and an entropy
whose `__reduce__` is `stand_in` with their name; whoever thaws gives others.

An image is a pickle, and recordings are passed on to people, so `thaw` reads it as a
stranger's: besides a few containers it makes nothing but objects of classes of
`protocols` and `mesh.core`, which can do no I/O, and calls nothing else. This module
is out of its reach, for what finds classes must not be told which to find; and an
image that changed a class, as a pickle may, is refused, and the class is as before.
"""

import copyreg
import functools
import gc
import hashlib
import io
import operator
import pickle
import random
import sys
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from mesh.core.peer import PeerCore
from mesh.core.schemas import compile_schema
from protocols.errors import MeshError

DIGEST_BYTES = 16
PACKAGES = ("protocols.", "mesh.core.")


def _struct(kind: type[msgspec.Struct], fields: dict[str, object]) -> msgspec.Struct:
    """A struct whose fields are given by name."""
    return kind(**fields)


PLAIN: dict[tuple[str, str], Callable[..., Any]] = {
    (made.__module__, made.__qualname__): made
    for made in (set, frozenset, bytearray, OrderedDict, defaultdict, deque, random.Random)
} | {
    ("msgspec", "Raw"): msgspec.Raw,
    ("msgspec._utils", "rebuild"): _struct,
    (compile_schema.__module__, "compile_schema"): compile_schema,
}
"""What an image may call besides the classes of `PACKAGES`."""
_ABSENT = object()
_INJECTED = (__name__, "stand_in")
_FILL = (__name__, "fill")
_METHOD = ("builtins", "getattr")


class NotAnImage(MeshError):
    """The bytes are no image, or that of another release."""


def stand_in(name: str) -> object:
    """What an image has in place of an injected object; never called as such."""
    raise AssertionError(f"{name} is given by whoever thaws")


def freeze(core: PeerCore) -> bytes:
    """All of a core's memory, between two of its steps.

    Raises:
        Exception: of any kind, where the core holds what cannot be written down.
    """
    file = io.BytesIO()
    pickler = pickle.Pickler(file, protocol=5)
    pickler.dispatch_table = _reducers()
    # Nothing is dropped meanwhile, so the collector would look at all objects for nothing.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        pickler.dump(core)
    finally:
        if was_enabled:
            gc.enable()
    return file.getvalue()


@functools.cache
def _reducers() -> dict[type, Callable[[Any], Any]]:
    """How objects with slots are taken apart; by default that takes twice as long."""
    kinds = (kind for kind in _classes() if kind.__bases__ == (object,) and _slots(kind))
    return {kind: _reducer(kind) for kind in kinds}


def _classes() -> dict[type, None]:
    """All classes of `PACKAGES` that are loaded, and those that their modules name."""
    return {
        kind: None
        for name, module in tuple(sys.modules.items())
        if name.startswith(PACKAGES)
        for kind in vars(module).values()
        if isinstance(kind, type)
    }


def _slots(kind: type) -> tuple[str, ...]:
    """The slots of a class that has several; a single one is not worth it."""
    slots = vars(kind).get("__slots__", ())
    return slots if isinstance(slots, tuple) and len(slots) > 1 else ()


def _reducer(kind: type) -> Callable[[Any], Any]:
    get = operator.attrgetter(*_slots(kind))
    new = operator.attrgetter("__newobj__")(copyreg)  # what pickle has an opcode for
    return lambda made: (new, (kind,), get(made), None, None, fill)


def fill(made: object, state: tuple[object, ...]) -> None:
    """Gives an object its slots back."""
    for name, value in zip(_slots(type(made)), state, strict=True):
        setattr(made, name, value)


def thaw(image: bytes, injected: Mapping[str, object]) -> PeerCore:
    """The core as it was when it was frozen.

    Args:
        image: what `freeze` gave.
        injected: what stands for the objects that `stand_in` named.

    Raises:
        NotAnImage: it is damaged, of another release, or holds what no image holds.
    """
    plain = (made for made in PLAIN.values() if isinstance(made, type))
    before = {kind: _contents(kind) for kind in (*_classes(), *plain)}
    try:
        core = _Thawing(io.BytesIO(image), injected).load()
    except Exception as error:  # a pickle fails with errors of any kind
        raise NotAnImage(f"the core's image cannot be read: {error}") from error
    finally:
        changed = [kind.__name__ for kind, contents in before.items() if _put_back(kind, contents)]
    if changed:
        raise NotAnImage(f"an image that changes {changed[0]}")
    if not isinstance(core, PeerCore):
        raise NotAnImage(f"an image of {type(core).__name__}, which is no core")
    return core


def _contents(kind: type) -> dict[str, object]:
    return {**vars(kind), "__bases__": kind.__bases__}


def _put_back(kind: type, contents: dict[str, object]) -> bool:
    """Undoes what was done to a class; whether anything was."""
    found = _contents(kind)
    changed = [
        name
        for name in {**contents, **found}
        if found.get(name, _ABSENT) is not contents.get(name, _ABSENT)
    ]
    for name in changed:
        if name in contents:
            type.__setattr__(kind, name, contents[name])
        else:
            type.__delattr__(kind, name)
    return bool(changed)


class _Thawing(pickle.Unpickler):
    """Finds only what an image of a core may name."""

    def __init__(self, file: io.BytesIO, injected: Mapping[str, object]) -> None:
        super().__init__(file)
        self._injected = injected

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == _INJECTED:
            return self._injected.__getitem__
        if (module, name) == _FILL:
            return fill
        if (module, name) == _METHOD:
            return _method
        known = PLAIN.get((module, name))
        if known is not None:
            return known
        if module.startswith(PACKAGES) and module != __name__:
            # Of modules that are loaded: a core has no others.
            found = getattr(sys.modules.get(module), name, None)
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def _method(owner: object, name: str) -> object:
    """A bound method of an object of ours."""
    method = getattr(owner, name)
    is_ours = type(owner).__module__.startswith(PACKAGES) and not name.startswith("__")
    if not is_ours or not isinstance(method, types.MethodType):
        raise pickle.UnpicklingError(f"it asks for {name} of {type(owner).__name__}")
    return method


def state_digest(core: PeerCore) -> str:
    """A digest of all that a core holds: equal where everything is, and not else.

    Two equal cores may have different images, because equal values may be one object
    in one of them and two in the other.
    """
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in _parts(core):
        digest.update(part)
    return digest.hexdigest()


def _parts(root: object) -> Iterator[bytes]:
    """A canonical text of an object and all that it leads to, each once."""
    met: dict[int, int] = {}
    kept: list[object] = []
    todo: list[object] = [root]
    while todo:
        found = todo.pop()
        if isinstance(found, _ATOMS):
            yield repr(found).encode() + b"\n"
            continue
        if isinstance(found, msgspec.Raw):
            yield b"raw " + bytes(found)
            continue
        if not _is_value(found):
            if id(found) in met:
                yield b"again %d\n" % met[id(found)]
                continue
            met[id(found)] = len(met)
            kept.append(found)  # else another object might get its id
        name, parts = _within(found)
        yield f"{name} {len(parts)}\n".encode()
        todo.extend(reversed(parts))


def _is_value(found: object) -> bool:
    """Whether two equal ones are as good as one, so that sharing says nothing."""
    if isinstance(found, msgspec.Struct):
        return found.__struct_config__.frozen
    return isinstance(found, tuple | frozenset)


_ATOMS = (type(None), bool, int, float, str, bytes, type, types.FunctionType)


def _within(found: object) -> tuple[str, list[Any]]:
    """What an object is, and what it holds in an order that is always the same."""
    name = type(found).__qualname__
    match found:
        case tuple() | list():
            return name, list(found)
        case set() | frozenset():
            return name, sorted(found, key=repr)
        case dict() if type(found) is dict:
            return name, [part for item in found.items() for part in item]
        case msgspec.Struct():
            return name, [getattr(found, field) for field in found.__struct_fields__]
        case types.MethodType():
            return name, [found.__self__, found.__name__]
    # The class is among the arguments, if it is not a stand-in's.
    reduced = found.__reduce_ex__(4)
    assert isinstance(reduced, tuple), "an object without a reduction is a global"
    _, *parts = reduced
    return "object", [list(part) if isinstance(part, Iterator) else part for part in parts]
