"""How a peer is served: where it listens, whom it meets first, and who is told that it is up."""

import json
import os
import socket
import sys
from typing import Any

from mesh.local.discovery import PeerEntry, SeedEntry
from mesh.runtime.launcher import LOOPBACK
from mesh.runtime.serve_file import Serving
from mesh.runtime.sockets import ANY_PORT, Address
from mesh.runtime.transport import Transport
from protocols.errors import ConfigurationError
from protocols.gossip.commands import Contact
from protocols.identity import peer_of_text

CONTACTS_LIMIT = 16


def bind(serving: Serving, transport: Transport, known: str) -> tuple[str, str]:
    """Binds door and house.

    Args:
        serving: where to listen, and where others reach it.
        transport: what is bound.
        known: the address of the door at the last start; "" at the first.

    Returns:
        The door's address as others reach it, and why it is not where it was, or "".

    Raises:
        ConfigurationError: a port that was asked for is taken, or the host is not here.
    """
    before = Address.parse(known) if known else Address(LOOPBACK, ANY_PORT)
    host = serving.host or before.host
    # Behind a mapped port the known one is not the one to listen on.
    port = serving.door or (ANY_PORT if serving.shown_door else before.port)
    shown = (serving.shown_host or None, (serving.shown_door, serving.shown_data))
    try:
        return transport.bind(host, port, serving.data, *shown), ""
    except ConfigurationError as error:
        if not known or serving.door or serving.data:
            raise
        return transport.bind(serving.host or LOOPBACK, ANY_PORT, ANY_PORT, *shown), str(error)


def contacts(mine: str, peers: list[PeerEntry], seeds: list[SeedEntry]) -> tuple[Contact, ...]:
    """Whom a peer meets first: the other peers of its folder, then members on other hosts."""
    others = [entry for entry in peers if entry.name != mine and entry.door]
    # Each peer begins with those after it, so that not all crowd at the first.
    after = [entry for entry in others if entry.name > mine]
    before = [entry for entry in others if entry.name < mine]
    local = [_contact(entry) for entry in (*after, *before)][: CONTACTS_LIMIT // 2]
    known = {contact.peer: contact for contact in local}
    for seed in seeds:
        found = _contact(seed)
        known.setdefault(found.peer, found)
    return tuple(known.values())[:CONTACTS_LIMIT]


def _contact(entry: PeerEntry | SeedEntry) -> Contact:
    return Contact(peer_of_text(entry.id), entry.door, bytes.fromhex(entry.curve))


def tell_ready(status: dict[str, Any]) -> None:
    """Says on stdout, and to systemd where it asked, that a peer is up.

    Args:
        status: its name, id, address, pid and dir.
    """
    sys.stdout.write(json.dumps(status, ensure_ascii=False) + "\n")
    sys.stdout.flush()
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        try:
            notify.connect("\0" + place[1:] if place.startswith("@") else place)
            notify.sendall(f"READY=1\nSTATUS=serving at {status['address']}\n".encode())
        except OSError as error:
            sys.stderr.write(f"mesh: systemd was not told that {status['name']} is up: {error}\n")
