"""Whose log it is: the list of today, and one that is to follow it."""

from protocols.effects import Effect, Emit, Persist
from protocols.errors import Refused
from protocols.identity import Keyring
from protocols.voting.chain import Chain
from protocols.voting.log_commands import ElectorateSettled
from protocols.voting.log_messages import LogElectorateRecord
from protocols.voting.roll import RecoveryRoll, Roll, is_outdated, open_bundle


class Succession:
    """The electorates of one peer's log.

    Attributes:
        roll, bundle: of today's, and what proves it; None and empty before the first.
        later: the bundle of one that the root has signed, and today's have not settled yet.
    """

    def __init__(self, keyring: Keyring, mesh: bytes, chain: Chain, effects: list[Effect]) -> None:
        """Begins without an electorate."""
        self._keyring = keyring
        self._mesh = mesh
        self._chain = chain
        self._effects = effects
        self.roll: Roll | None = None
        self.bundle = b""
        self.later = b""

    def is_before_recovery(self, epoch: int) -> bool:
        """Whether what was signed then is of no matter to those who took over since."""
        return isinstance(self.roll, RecoveryRoll) and epoch < self.roll.epoch

    def is_stale(self, bundle: bytes) -> bool:
        """Whether a root has signed a list that was succeeded before it signed today's."""
        return is_outdated(bundle, self.bundle)

    def follow(self, bundle: bytes) -> Roll | None:
        """What the root has signed: the first list and a recovery are taken, others wait.

        Returns:
            The list; None where a later root than its own signed today's.

        Raises:
            Refused: NoElectorate, where the root has not signed it.
        """
        found = open_bundle(bundle, self._mesh, self._keyring)
        if found is None:
            raise Refused("NoElectorate", "the list of electors is not signed by the mesh's root")
        if self.is_stale(bundle):
            return None
        if self.roll is None and not isinstance(found, RecoveryRoll):
            self.take(bundle)
            self._effects.append(Persist(LogElectorateRecord(bundle), sync=True))
        elif self.roll is None or found.epoch > self.roll.epoch:
            if isinstance(found, RecoveryRoll):
                self.switch(bundle)
            else:
                self.later = bundle
        return found

    def shown(self, bundle: bytes, roll: RecoveryRoll) -> None:
        """A block was settled by those of a recovery, which may have been followed since."""
        is_known = roll.epoch <= self._chain.epoch or self._chain.recovery == roll
        if self.roll is None or roll.epoch > self.roll.epoch:
            self.switch(bundle)
        elif not is_known:
            self.take(bundle)
            self._effects.append(Persist(LogElectorateRecord(bundle), sync=True))

    def switch(self, bundle: bytes) -> None:
        """A list that a quorum put into the log, or settled the log with; or a recovery."""
        roll = open_bundle(bundle, self._mesh, self._keyring)
        assert roll is not None, "a quorum accepted it"
        if self.roll is None or roll.epoch > self.roll.epoch:
            self.take(bundle)
            is_sync = isinstance(roll, RecoveryRoll)
            self._effects.append(Persist(LogElectorateRecord(bundle), sync=is_sync))
            self._effects.append(Emit(ElectorateSettled(bundle)))

    def take(self, bundle: bytes) -> None:
        """It is today's, or was when this was written down."""
        roll = open_bundle(bundle, self._mesh, self._keyring)
        assert roll is not None, "verified before it was written, or settled by a quorum"
        if self.roll is None or roll.epoch > self.roll.epoch:
            self.roll, self.bundle = roll, bundle
        later = open_bundle(self.later, self._mesh, self._keyring) if self.later else None
        if later is None or later.epoch <= self.roll.epoch:
            self.later = b""
        if isinstance(roll, RecoveryRoll):
            self._chain.recover(roll)
