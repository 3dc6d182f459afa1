"""What `mesh doctor` looks at in a mesh folder: files, keys, credentials, what is left over."""

import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mesh.cli.diagnosis import MIB, Finding, size

DAY_S = 86_400
LIFE_LITTLE_S = 30 * DAY_S
JOURNAL_MUCH = 2048 * MIB
RECORDING_SLACK = 1.25
CONNECT_S = 1.0


def look(folder: Any) -> Iterator[Finding]:
    """Looks at the files of a `MeshFolder`."""
    yield from _modes(folder)
    for entry in folder.peers():
        yield _credential(folder, entry.name)
    yield from _sizes(folder)
    yield from _left_over(folder)


def _modes(folder: Any) -> Iterator[Finding]:
    """Are secrets this user's alone?"""
    wrong = 0
    secrets: list[Path] = [folder.root_key, folder.issuer_key]
    peers = [folder.peer_folder(entry.name) for entry in folder.peers()]
    secrets += [peer.key for peer in peers]
    for path in [folder.path, *(peer.path for peer in peers), *secrets]:
        finding = _mode(path)
        if finding is not None:
            wrong += 1
            yield finding
    for peer in peers:
        if not peer.key.exists():
            wrong += 1
            yield Finding(
                "keys", str(peer.key), "problem", "missing", "it is who the peer is",
                "restore the peer's folder from a backup, or enrol a new peer",
            )  # fmt: skip
    if not wrong:
        yield Finding("keys", str(folder.path), "ok", "folders and keys are this user's alone")


def _mode(path: Path) -> Finding | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid():
        return Finding(
            "keys", str(path), "problem", f"belongs to user {status.st_uid}",
            "its owner can read or replace it", "run this as its owner, or chown it",
        )  # fmt: skip
    if mode & 0o077:
        wanted = "700" if path.is_dir() else "600"
        return Finding(
            "keys", str(path), "problem", f"mode {mode:04o}",
            "others on this machine can read secrets or results", f"chmod {wanted} {path}",
        )  # fmt: skip
    return None


def _credential(folder: Any, name: str) -> Finding:
    from mesh.storage.authority import NotAdmitted, load_peer, renewal_due
    from protocols.errors import ConfigurationError
    from protocols.identity import Ed25519Keyring
    from protocols.succession import verify_founded

    try:
        material = load_peer(folder, name)
    except NotAdmitted as error:
        why = "nobody admits a peer without one"
        return Finding("credential", name, "problem", error.why, why, error.remedy)
    except ConfigurationError as error:
        return Finding(
            "credential", name, "problem", str(error), "nobody admits a peer without one",
            "let an issuer sign a new one",
        )  # fmt: skip
    keyring = Ed25519Keyring(material.keys.seed, material.root)
    credential = verify_founded(material.credential, material.root, time.time_ns(), keyring)
    left_s = credential.not_after_s - time.time()
    found = f"{left_s / DAY_S:.0f} days left"
    if left_s >= LIFE_LITTLE_S:
        return Finding("credential", name, "ok", found)
    if renewal_due(material) and folder.issuer_key.exists():
        remedy = "start the peer again: it renews its credential from the issuer's key here"
    else:
        remedy = "renew it at an issuer of the mesh"
    return Finding(
        "credential", name, "warning", found, "nobody admits a peer after its end", remedy
    )


def _sizes(folder: Any) -> Iterator[Finding]:
    total = 0
    for entry in folder.peers():
        place = folder.peer_folder(entry.name)
        whole = _bytes_of(place.path)
        total += whole
        journal = sum(_bytes_of(each) for each in place.path.glob("journal.db*"))
        if journal > JOURNAL_MUCH:
            yield Finding(
                "size", entry.name, "warning", f"a journal of {size(journal)}",
                "a start reads all of it", "are tasks kept that nobody settles? `mesh tasks`",
            )  # fmt: skip
        recording = _bytes_of(place.recording)
        if recording > entry.recording_mb * MIB * RECORDING_SLACK + MIB:
            yield Finding(
                "size", entry.name, "warning", f"a recording of {size(recording)}",
                f"it may have {entry.recording_mb} MiB",
                f"`mesh up --recording {entry.recording_mb}` cuts it with the next start",
            )  # fmt: skip
    yield Finding("size", str(folder.path), "ok", f"{size(total)} in all peers' folders")


def _bytes_of(path: Path) -> int:
    """All bytes below a path; files that come and go meanwhile count as they can."""
    total = 0
    for each in [path, *path.rglob("*")] if path.is_dir() else [path]:
        try:
            status = each.lstat()
        except OSError:
            continue
        total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def _left_over(folder: Any) -> Iterator[Finding]:
    """What peers left that ended without a word."""
    stale = []
    for entry in folder.peers():
        place = folder.peer_folder(entry.name)
        if place.running_pid() is None and Path(entry.socket).exists():
            stale.append(entry.name)
            yield Finding(
                "stale", entry.name, "warning", f"its socket {entry.socket} is still there",
                "it was killed, or crashed; its log says which",
                f"`mesh up` starts it again and takes the socket's place; see {place.log}",
            )  # fmt: skip
    if not stale:
        yield Finding("stale", str(folder.path), "ok", "nothing left over by peers that are gone")


def door(name: str, address: str, runs: bool) -> Finding:
    """Can others reach a peer's port, or can the peer have it when it starts?"""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    if not host or not port.isdigit():
        return Finding("port", name, "ok", "not chosen yet")
    try:
        if runs:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
            return Finding("port", name, "ok", f"{address} takes connections")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host.strip("[]"), int(port)))
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        if runs:
            return Finding(
                "port", name, "problem", f"{address}: {why}", "other peers cannot reach it",
                "is it paused, or a firewall in the way? `mesh peers`",
            )  # fmt: skip
        return Finding(
            "port", name, "warning", f"{address}: {why}",
            "something else has its port: it starts on another, which gossip has to spread",
            "end what listens there before `mesh up`",
        )  # fmt: skip
    return Finding("port", name, "ok", f"{address} is free for it")
