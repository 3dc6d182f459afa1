"""The ledger of the ordered log, written down a second time, without limits or encodings."""

from collections.abc import Sequence

from protocols.voting.ledger import Acquire, Action, Held, Release, Renew, Result, Transact

PLACES = 1 << 16


class LedgerModel:
    """Applies actions one after another: what each must have led to."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[bytes, int]] = {}
        self._leases: dict[str, Held] = {}
        self._height = 0
        self._place = 0

    def apply(self, height: int, time_ms: int, actions: Sequence[Action]) -> list[Result]:
        """The results of one order at a height, after the orders before it."""
        if height != self._height:
            self._height, self._place = height, 0
        for name, held in list(self._leases.items()):
            if held.ends_ms <= time_ms:
                del self._leases[name]
        results = []
        for action in actions:
            results.append(self._do(action, height * PLACES + self._place, time_ms))
            self._place += 1
        return results

    def _do(self, action: Action, token: int, time_ms: int) -> Result:
        if isinstance(action, Transact):
            return self._transact(action, token)
        held = self._leases.get(action.name)
        if isinstance(action, Acquire):
            if held is not None:
                return Result(False, "held", lease=held)
            lease = Held(action.holder, token, time_ms + action.ttl_ms)
        elif held is None or held.token != action.token:
            return Result(False, "ended", lease=held)
        elif isinstance(action, Release):
            del self._leases[action.name]
            return Result(True, version=held.token)
        else:
            assert isinstance(action, Renew)
            lease = Held(held.holder, held.token, time_ms + action.ttl_ms)
        self._leases[action.name] = lease
        return Result(True, version=lease.token, lease=lease)

    def _read(self, key: str) -> tuple[str, bytes | None, int]:
        return (key, *self._entries.get(key, (None, 0)))

    def _transact(self, action: Transact, token: int) -> Result:
        changed = tuple(
            self._read(key) for key, value in action.checks if self._differs(key, value)
        )
        if changed:
            return Result(False, "changed", values=changed)
        for name, wanted in action.held:
            held = self._leases.get(name)
            if held is None or held.token != wanted:
                return Result(False, "ended", lease=held)
        values = tuple(map(self._read, action.reads))
        for key, value in action.writes:
            self._entries.pop(key, None)
            if value is not None:
                self._entries[key] = (value, token)
        return Result(True, version=token if action.writes else 0, values=values)

    def _differs(self, key: str, value: bytes | None) -> bool:
        """Whether a key holds anything but this."""
        return self._read(key)[1] != value
