"""Guards taken out one at a time: ``make mutants``. A sweep must notice each.

A mutant changes one guard of the protocols or the core in this process only. A
mutant that survives means that no scenario meets what its guard is for, or that
no checker sees what then goes wrong.
"""

import argparse
import contextlib
import itertools
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec

from mesh.core.admission import Admission
from mesh.core.gate import Gate
from protocols.auction import issuer
from protocols.auction.grants import Grants
from protocols.gossip import intake
from protocols.gossip.oneself import Oneself
from protocols.gossip.roster import Merge, Roster
from protocols.tasks import messages, submission
from protocols.tasks.attempts import Attempts
from protocols.tasks.custodian import Custodian
from protocols.tasks.delivery import Delivery
from protocols.tasks.failing import Failing
from protocols.tasks.hosting import Hosted
from protocols.tasks.outbox import Outbox
from protocols.tasks.parameters import NEVER
from protocols.tasks.restoring import Restoring
from protocols.tasks.settling import Settling
from protocols.tasks.timetable import Timetable
from protocols.tasks.worker import Worker
from protocols.trust import Trust
from simulations.agent_mutants import AGENT_MUTANTS
from simulations.board_mutants import BOARD_MUTANTS
from simulations.claim_mutants import CLAIM_MUTANTS
from simulations.exclusive_mutants import EXCLUSIVE_MUTANTS
from simulations.keyrings import SimulatedKeyring
from simulations.run import run
from simulations.voting_mutants import VOTING_MUTANTS

SCORE_LEAST = 0.95
"""The share of guards whose absence a sweep has to notice."""

Patch = contextlib.AbstractContextManager[Any]
"""What takes a guard out while it is entered."""


class Mutant(NamedTuple):
    """A guard that is taken out, and the scenarios that should notice."""

    name: str
    make: Callable[[], Patch]
    scenarios: tuple[str, ...]


def _nothing(*_: object, **__: object) -> None:
    """Instead of a guard that acts."""


def _gate_forgets() -> Patch:
    add = Gate.add

    def prompt_add(self: Gate, machine: str, effect: Any, prompt: bool) -> None:
        add(self, machine, effect, True)

    return patch.object(Gate, "add", prompt_add)


def _ack_at_once() -> Patch:
    send = Outbox.send

    def eager(self: Outbox, to: bytes, message: msgspec.Struct) -> None:
        if isinstance(message, messages.ResultsAck):
            self.send_promptly(to, message)
        else:
            send(self, to, message)

    return patch.object(Outbox, "send", eager)


def _older_incarnations() -> Patch:
    def merge(self: Roster, record: Any, envelope: Any, now: int) -> Merge:
        member = self.members.get(record.peer)
        if member is None:
            return self._meet(record, envelope, now)
        member.record = record
        self._update(member, record, envelope, now)
        return Merge.NEWER

    return patch.object(Roster, "merge", merge)


def _any_peers_result() -> Patch:
    results = Attempts.results

    def believing(self: Any, link: bytes, message: messages.Results, now: Any) -> None:
        tasks = self._ledger.tasks
        for outcome in message.outcomes:
            task = tasks.get(outcome.task)
            attempt = task.attempt(outcome.attempt) if task is not None else None
            if attempt is not None:
                one = messages.Results(message.batch, (outcome,))
                results(self, attempt.peer, one, now)

    return patch.object(Attempts, "results", believing)


def _keys_do_not_attach() -> Patch:
    numbers = itertools.count()
    return patch.object(submission, "keyed_id", lambda space, key: f"{key}{next(numbers)}"[-48:])


def _again(method: str) -> Callable[[], Patch]:
    return lambda: patch.object(Attempts, method, _nothing)


def _runs_twice() -> Patch:
    assign = Worker.assign

    def forgetful(self: Any, link: bytes, message: Any, now: Any) -> None:
        jobs = self._jobs.get(link, {})
        for job in message.jobs:
            jobs.pop((job.task, job.attempt), None)
        self._delivery._recent.clear()  # noqa: SLF001 - a mutant is an insider
        assign(self, link, message, now)

    return patch.object(Worker, "assign", forgetful)


def _parked_keep_their_slot() -> Patch:
    return patch.object(Worker, "parked", _nothing)


def _restart_forgets_attempts() -> Patch:
    apply = Restoring.apply

    def forgetful(self: Restoring, record: msgspec.Struct) -> None:
        if type(record).__name__ != "AttemptsRecorded":
            apply(self, record)

    return patch.object(Restoring, "apply", forgetful)


def _restart_forgets_ends() -> Patch:
    apply = Restoring.apply

    def forgetful(self: Restoring, record: msgspec.Struct) -> None:
        if type(record).__name__ != "EndsRecorded":
            apply(self, record)

    return patch.object(Restoring, "apply", forgetful)


def _no_schema_of_time() -> Patch:
    return patch.object(Timetable, "deadline", _nothing)


def _losses_uncounted() -> Patch:
    return patch.object(Failing, "lost", _nothing)


def _late_results_ignored() -> Patch:
    return patch.object(Attempts, "_late", _nothing)


def _ends_untold() -> Patch:
    return patch.object(Settling, "tell_again", _nothing)


def _restarts_unnoticed() -> Patch:
    def unnoticed(self: Any, member: Any, now: Any) -> None:
        for desk in self.desks.peer_up(member.peer):
            self.touch(desk)

    return patch.object(Custodian, "peer_up", unnoticed)


class _All(contextlib.ExitStack):
    def __init__(self, *patches: Patch) -> None:
        super().__init__()
        self._patches = patches

    def __enter__(self) -> "_All":
        for each in self._patches:
            self.enter_context(each)
        return self


def _unswept() -> Patch:
    return _All(
        patch.object(Attempts, "sweep", _nothing),
        patch.object(Attempts, "sweep_at", lambda *_: NEVER),
    )


def _timeless() -> Patch:
    return _All(
        patch.object(Hosted, "due", property(lambda _: NEVER, _nothing)),
        patch.object(Attempts, "sweep", _nothing),
        patch.object(Attempts, "sweep_at", lambda *_: NEVER),
    )


_CRASHES = ("crash-storm", "disk-trouble", "nested-crashes", "everything-at-once")
_LOSS = ("lossy", "partition-heal", "everything-at-once", "nested-crashes")

MUTANTS = (
    Mutant("effects leave before their record is on disk", _gate_forgets, _CRASHES),
    Mutant("a custodian acknowledges before its record", _ack_at_once, _CRASHES),
    Mutant(
        "signatures are not checked",
        lambda: patch.object(SimulatedKeyring, "verify", lambda *_: True),
        ("byzantine-inflater", "byzantine-slanderer", "slander-by-two"),
    ),
    Mutant(
        "credentials are not checked",
        lambda: patch.object(Admission, "_check_credential", _nothing),
        ("byzantine-ghosts",),
    ),
    Mutant(
        "revocations are not heeded",
        lambda: patch.object(Trust, "_revoke", _nothing),
        ("revoked", "byzantine-outcast"),
    ),
    Mutant(
        "a revoked peer is listened to",
        lambda: patch.object(Admission, "is_deaf_to", lambda self, link: link in self.isolated),
        ("revoked",),
    ),
    Mutant(
        "a restart forgets who was revoked",
        lambda: patch.object(Trust, "restore", _nothing),
        ("revoked",),
    ),
    Mutant("old incarnations are taken", _older_incarnations, ("byzantine-replayer", "churn")),
    Mutant(
        "incarnations have no limit",
        lambda: patch.object(intake, "INCARNATION_LIMIT", 1 << 63),
        ("byzantine-inflater", "churn"),
    ),
    Mutant(
        "nobody refutes",
        lambda: patch.object(Oneself, "refute", _nothing),
        ("slander-by-two", "paused-peer", "partition-heal", "everything-at-once"),
    ),
    Mutant("a result counts from anybody", _any_peers_result, ("byzantine-meddler", "liars")),
    Mutant(
        "a reveal need not match its commitment",
        lambda: patch.object(issuer, "opens", lambda *_: True),
        ("byzantine-underbidder",),
    ),
    Mutant("a key makes a new task each time", _keys_do_not_attach, ("calm", "crash-storm")),
    Mutant("attempts at a dead peer are not retried", _again("peer_lost"), ("crash-storm",)),
    Mutant("attempts are not asked after", _unswept, _LOSS),
    Mutant("a repeated assignment runs again", _runs_twice, ("one-way", "partition-heal")),
    Mutant("a parked handler keeps its slot", _parked_keep_their_slot, ("nested",)),
    Mutant("a restart forgets attempts", _restart_forgets_attempts, _CRASHES),
    Mutant("a restart forgets ends", _restart_forgets_ends, _CRASHES),
    Mutant("deadlines are not kept", _no_schema_of_time, ("calm", "sick")),
    Mutant("a lost attempt is not retried", _losses_uncounted, ("crash-storm", "partition-heal")),
    Mutant(
        "late results are thrown away",
        _late_results_ignored,
        ("paused-peer", "partition-heal", "everything-at-once"),
    ),
    Mutant("the end of a known task is not told again", _ends_untold, ("calm", "crash-storm")),
    Mutant(
        "a peer's restart goes unnoticed",
        _restarts_unnoticed,
        ("crash-storm", "nested-crashes", "everything-at-once"),
    ),
    Mutant("nothing ever times out", _timeless, ("sick", "everything-at-once")),
    Mutant(
        "results are sent once",
        lambda: _All(
            patch.object(Delivery, "wake", _nothing),
            patch.object(Delivery, "deadline", lambda _: NEVER),
        ),
        _LOSS,
    ),
    Mutant(
        "slots are granted beyond capacity",
        lambda: patch(
            "protocols.auction.supply.Host.free",
            property(lambda self: 64),
        ),
        ("calm", "nested"),
    ),
    Mutant(
        "leases never end",
        lambda: _All(
            patch.object(Grants, "expired", lambda *_: iter(())),
            patch.object(Grants, "deadline", _nothing),
        ),
        ("lossy", "partition-heal", "crash-storm"),
    ),
    Mutant(
        "children outlive a cancelled parent",
        lambda: patch.object(Custodian, "cancel_children", _nothing),
        ("nested",),
    ),
    *(Mutant(*each) for each in AGENT_MUTANTS),
    *(Mutant(*each) for each in BOARD_MUTANTS),
    *(Mutant(*each) for each in CLAIM_MUTANTS),
    *(Mutant(*each) for each in EXCLUSIVE_MUTANTS),
    *(Mutant(*each) for each in VOTING_MUTANTS),
)


def attempt(mutant: Mutant, seeds: int) -> tuple[str, str]:
    """Sweeps with a guard taken out: what noticed it, or two empty texts."""
    with mutant.make():
        for seed in range(seeds):
            for name in mutant.scenarios:
                try:
                    run(name, seed)
                except Exception as error:  # noqa: BLE001 - any failure is what is wanted
                    return f"{name} seed {seed}", f"{type(error).__name__}: {error}"[:160]
    return "", ""


def _work(index_and_seeds: tuple[int, int]) -> tuple[int, str, str, float]:
    index, seeds = index_and_seeds
    begun = time.process_time()
    where, how = attempt(MUTANTS[index], seeds)
    return index, where, how, time.process_time() - begun


def outcomes(chosen: list[int], seeds: int, jobs: int) -> Iterator[tuple[int, str, str, float]]:
    """Tries mutants, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, maxtasksperchild=1) as pool:
        yield from pool.imap(_work, [(index, seeds) for index in chosen])


def main() -> int:
    """See the module; the exit status is 1 where the score is below `SCORE_LEAST`."""
    parser = argparse.ArgumentParser(prog="python -m simulations.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants with one of these in their name")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    chosen = [
        index
        for index, mutant in enumerate(MUTANTS)
        if not options.words or any(word in mutant.name for word in options.words)
    ]
    killed = 0
    for index, where, how, seconds in outcomes(chosen, options.seeds, options.jobs):
        killed += bool(where)
        verdict = f"killed by {where}: {how}" if where else "SURVIVED"
        print(f"{seconds:6.1f} s  {MUTANTS[index].name}: {verdict}", flush=True)
    score = killed / max(1, len(chosen))
    print(f"mutation score: {killed} of {len(chosen)} guards noticed ({score:.0%})")
    return 0 if chosen and score >= SCORE_LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
