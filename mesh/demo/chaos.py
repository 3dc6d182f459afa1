"""Kills a peer that is at work, half-way, and tells how the mesh gets over it."""

import threading
import time
from collections import Counter
from typing import Any

import msgspec

from mesh.demo.crew import Arrival
from mesh.demo.face import DemoMesh, Outcome
from mesh.demo.narration import Narrator

POLL_S = 0.05
HALF = 0.5
"""The share of the work that is done before the kill."""
GONE = ("dead", "left", "crashed", "down")
"""The words for a member that is no more."""
RETOLD = 5
"""Re-run tasks that are told one by one; the rest are counted."""


class Kill(msgspec.Struct, kw_only=True):
    """One kill. Seconds; `known_after` is 0 until the mesh knows of the death."""

    peer: str
    after: float
    tasks_done: int
    known_after: float = 0.0


class Chaos:
    """The half-way kill of one run, and the recovery from it.

    Args:
        mesh: where peers are killed.
        narrator: who hears of it.
        wanted: False to leave every peer be, and only watch for tasks that ran again.
    """

    def __init__(self, mesh: DemoMesh, narrator: Narrator, wanted: bool) -> None:
        self.kills: list[Kill] = []
        self.rerun: list[str] = []
        self._mesh = mesh
        self._narrator = narrator
        self._wanted = wanted
        self._work: Counter[str] = Counter()
        self._begin = time.monotonic()
        self._stop = threading.Event()
        self._watcher: threading.Thread | None = None

    def see(self, arrival: Arrival, what: str, done: int, share: float) -> None:
        """Takes note of one ended task, and kills half-way.

        Args:
            arrival: the end of the task.
            what: the task in words.
            done: how many tasks have ended.
            share: of the estimated work, how much they were.
        """
        outcome = arrival.outcome
        if arrival.stream == "security" and outcome.producer:
            self._work[outcome.producer] += 1
        if outcome.attempts > 1:
            self._tell_rerun(outcome, what)
        if self._wanted and HALF <= share < 1.0:
            self._wanted = False
            self._kill(done)

    def close(self) -> None:
        """Stops watching."""
        self._stop.set()
        if self._watcher is not None:
            self._watcher.join()

    def _tell_rerun(self, outcome: Outcome, what: str) -> None:
        self.rerun.append(what)
        if len(self.rerun) <= RETOLD:
            who = f" by {outcome.producer}" if outcome.producer else ""
            self._narrator.say(f"re-run: {what}, attempt {outcome.attempts}{who}")
        elif len(self.rerun) == RETOLD + 1:
            self._narrator.say("re-run: more, counted at the end")

    def _kill(self, done: int) -> None:
        client = self._mesh.connect()
        try:
            victim = choose_victim(client.peers(), self._work)
        finally:
            client.close()
        if victim is None:
            self._narrator.say("there is no second peer, so none is killed")
            return
        kill = Kill(peer=victim, after=time.monotonic() - self._begin, tasks_done=done)
        self._mesh.kill(victim)
        self.kills.append(kill)
        self._narrator.say(f"killed {victim} with SIGKILL while it worked, {done} tasks done")
        self._watcher = threading.Thread(
            target=self._watch, args=(kill, time.monotonic()), name="watcher", daemon=True
        )
        self._watcher.start()

    def _watch(self, kill: Kill, since: float) -> None:
        """Asks until the members have the victim down as dead."""
        client = self._mesh.connect()
        try:
            while not self._stop.is_set():
                rows = [row for row in client.peers() if row["name"] == kill.peer]
                if not rows or rows[0]["state"] in GONE:
                    kill.known_after = time.monotonic() - since
                    text = f"{kill.peer} is known to be dead, {kill.known_after:.2f} s after"
                    self._narrator.say(text)
                    return
                self._stop.wait(POLL_S)
        finally:
            client.close()


def choose_victim(peers: list[dict[str, Any]], work: Counter[str]) -> str | None:
    """The peer that has done most of the longest tasks: those queue, so it is at one now.

    The first peer by name is spared, so that the run shows the death of a worker and
    not the fail-over of the client, which is home there.
    """
    alive = sorted((row for row in peers if row["state"] == "alive"), key=lambda row: row["name"])
    others = alive[1:]
    if not others:
        return None
    busiest = max(others, key=lambda row: max(work[row["name"]], work[str(row.get("id"))]))
    return str(busiest["name"])
