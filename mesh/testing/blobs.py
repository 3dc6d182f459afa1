"""The blobs of a simulated peer: production's machine, with files in memory."""

from collections.abc import Callable
from typing import Any

import msgspec

from mesh.local.blob_requests import PIECE
from mesh.runtime.blob_desk import AWAY, PUT
from mesh.testing.fibers import VirtualEvent
from protocols.blobs import commands, events
from protocols.blobs.naming import Index, hashes_of, name_of
from protocols.errors import Refused
from protocols.identity import text_id
from simulations.peer import SimulatedPeer

AGAIN_S = 0.5
After = Callable[[float, Callable[[], None]], None]


class VirtualBlobs:
    """Answers what clients and handlers ask one simulated peer of blobs."""

    def __init__(
        self,
        peer: SimulatedPeer,
        submit: Callable[[msgspec.Struct], object],
        find_peer: Callable[[str], bytes | None],
        after: After,
    ) -> None:
        """Takes a peer that runs, the way to its core, who knows peers, and virtual time."""
        assert peer.core is not None, "a desk is opened by a peer that runs"
        self._core = peer.core
        self._files = peer.blobs
        self._submit = submit
        self._find_peer = find_peer
        self._after = after
        self._number = 0
        self._uploads: dict[int, bytearray] = {}
        self._ends: dict[int, tuple[VirtualEvent, list[msgspec.Struct]]] = {}

    def verbs(self) -> dict[str, Callable[[Any], Any]]:
        """The verbs of ``ask``, and what answers them."""
        return {
            "blob.put": self.put,
            "blob.fetch": self.fetch,
            "blob.read": self.read,
            "blob.ls": self.ls,
            "blob.rm": self.remove,
        }

    def notify(self, event: msgspec.Struct) -> None:
        """Takes an event of the core."""
        if isinstance(event, events.BlobKept | events.BlobFetched | events.BlobNotFetched):
            waiting = self._ends.pop(event.number, None)
            if waiting is not None:
                waiting[1].append(event)
                waiting[0].set()

    async def put(self, arguments: Any) -> dict[str, Any]:
        """Answers ``blob.put``."""
        number = arguments["upload"]
        if not number:
            self._number += 1
            number = self._number
            self._uploads[number] = bytearray()
        content = self._uploads[number]
        content += arguments["data"]
        self._core.blobs.refuse_unfit(max(len(content), arguments["size"]))
        if not arguments["last"]:
            return {"upload": number, "offset": len(content)}
        whole = bytes(self._uploads.pop(number))
        hashes = hashes_of(whole)
        blob = name_of(len(whole), hashes)
        self._files.whole[blob] = whole
        self._number += 1
        command = commands.KeepBlob(self._number, blob, len(whole), hashes, PUT)
        await self._ended(self._number, command)
        return {"blob": blob.hex(), "size": len(whole), "at": text_id(self._core.peer)}

    async def fetch(self, arguments: Any) -> dict[str, Any]:
        """Answers ``blob.fetch``."""
        blob = bytes.fromhex(arguments["blob"])
        index = self._core.blobs.index(blob)
        if index is None:
            await self._fetched(blob, arguments["at"])
            index = self._core.blobs.index(blob)
        size = 0 if index is None else index.size
        return {"blob": arguments["blob"], "here": index is not None, "have": size, "size": size}

    async def _fetched(self, blob: bytes, at: str) -> None:
        first = self._find_peer(at) if at else None
        holders = tuple(sorted(self._core.gossip.alive(), key=lambda peer: peer != first))
        self._number += 1
        command = commands.FetchBlob(self._number, blob, holders)
        end = await self._ended(self._number, command)
        if not isinstance(end, events.BlobNotFetched):
            return
        is_away = any(member.state in AWAY for member in self._core.gossip.members())
        if end.kind != "HolderAway" and not (end.kind == "NoHolder" and is_away):
            raise Refused(end.kind, end.reason)
        over = VirtualEvent()
        self._after(AGAIN_S, over.set)
        await over.wait()

    def read(self, arguments: Any) -> dict[str, Any]:
        """Answers ``blob.read``."""
        blob = bytes.fromhex(arguments["blob"])
        index: Index | None = self._core.blobs.index(blob)
        if index is None:
            raise Refused("UnknownBlob", "this peer does not hold it: fetch it first")
        offset = arguments["offset"]
        return {"data": self._files.whole[blob][offset : offset + PIECE], "size": index.size}

    def ls(self, arguments: Any) -> dict[str, Any]:
        """Answers ``blob.ls``."""
        machine = self._core.blobs
        rows = [
            {"blob": blob.hex(), "size": size, "kept": is_kept}
            for blob, size, is_kept in machine.listed()
        ]
        return {"blobs": rows, "used": machine.kept_bytes, "quota": machine.quota_bytes}

    def remove(self, arguments: Any) -> dict[str, Any]:
        """Answers ``blob.rm``."""
        blob = bytes.fromhex(arguments["blob"])
        self._submit(commands.RemoveBlob(blob, PUT))
        return {"blob": arguments["blob"], "removed": not self._core.blobs.has(blob)}

    async def _ended(self, number: int, command: msgspec.Struct) -> msgspec.Struct:
        over, end = VirtualEvent(), list[msgspec.Struct]()
        self._ends[number] = over, end
        try:
            self._submit(command)
        except Refused:
            self._ends.pop(number)
            raise
        await over.wait()
        return end[0]
