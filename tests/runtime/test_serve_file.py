"""The file of `mesh serve`: what it may say, and how a mistake is told."""

from pathlib import Path

import msgspec
import pytest

from mesh.local.discovery import PeerEntry, SeedEntry
from mesh.runtime.serve_file import (
    AS_UP,
    Order,
    Serving,
    command,
    read_serve_file,
    with_hosts,
)
from mesh.runtime.serving import CONTACTS_LIMIT, contacts
from protocols.errors import ConfigurationError
from protocols.identity import text_id

WHOLE = """
dir = "mesh"
name = "berlin"
agents = ["agents/search.py", "/opt/agents/read.py"]
memory = "512MB"
blobs = "1GiB"
recording = 64
durability = "disk"
drain = 30

[listen]
host = "0.0.0.0"
door = 7400
data = 7401

[advertise]
host = "berlin.example.org"
door = 17400

[[seeds]]
id = "{id}"
door = "tcp://10.0.0.1:7400"
curve = "{curve}"
"""
SEED = {"id": text_id(b"p" * 32), "curve": "ab" * 32}


def write(folder: Path, text: str) -> Path:
    path = folder / "mesh.toml"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        read_serve_file(write(folder, text))
    return str(error.value).replace(str(folder), "")


def test_every_key_reaches_its_place(tmp_path: Path) -> None:
    found = read_serve_file(write(tmp_path, WHOLE.format(**SEED)))
    assert found.dir == str(tmp_path / "mesh")
    assert found.agents == [str(tmp_path / "agents/search.py"), "/opt/agents/read.py"]
    assert (found.name, found.memory, found.recording) == ("berlin", "512MB", 64)
    assert found.blobs == "1GiB"
    assert found.serving() == Serving(
        host="0.0.0.0",
        door=7400,
        data=7401,
        shown_host="berlin.example.org",
        shown_door=17400,
        durability="disk",
        drain_s=30,
        seeds=[SeedEntry(id=SEED["id"], door="tcp://10.0.0.1:7400", curve=SEED["curve"])],
        in_foreground=True,
    )


def test_what_is_left_out_is_as_with_up(tmp_path: Path) -> None:
    serving = read_serve_file(write(tmp_path, 'dir = "."')).serving()
    assert serving == Serving(in_foreground=True)
    assert not AS_UP.in_foreground


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dir = [", "/mesh.toml is not TOML"),
        ("", "missing required field `dir`"),
        ('dir = "."\nnam = "x"', "there is no key nam: did you mean 'name'? there are dir, name"),
        ('dir = "."\n[listen]\nport = 1', "there is no key listen.port"),
        ('dir = "."\n[[seeds]]\nidd = "x"', "there is no key seeds[0].idd: did you mean 'id'?"),
        ('dir = "."\n[listen]\ndoor = "7400"', "listen.door: Expected `int`, got `str`"),
        ('dir = "."\n[listen]\ndoor = 70000', "listen.door: Expected `int` <= 65535"),
        ('dir = "."\nlisten = 7400', "listen: Expected `object`, got `int`"),
        ('dir = "."\ndurability = "ram"', "durability: Invalid enum value 'ram'"),
        ('dir = "."\nblobs = "lots"', "blobs: 'lots' is not an amount of memory"),
        ('dir = "."\nmemory = "lots"', "memory: 'lots' is not an amount of memory"),
        ('dir = "."\n[[seeds]]\nid = "a"\ndoor = "x"\ncurve = "b"', "seeds[0]: a seed has `id`"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    assert told in complaint(tmp_path, text)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*: No such file"):
        read_serve_file(tmp_path / "no.toml")


def test_who_listens_everywhere_must_say_what_others_dial(tmp_path: Path) -> None:
    found = read_serve_file(write(tmp_path, 'dir = "."\n[listen]\nhost = "0.0.0.0"'))
    with pytest.raises(ConfigurationError, match=r"set advertise\.host, or --advertise"):
        with_hosts(found, "", "")
    assert with_hosts(found, "", "here.example.org").serving().shown_host == "here.example.org"
    assert with_hosts(found, "10.0.0.5", "").serving().host == "10.0.0.5"


@pytest.mark.parametrize("host", ["tcp://here", "here:7400", "[::1]", "two words"])
def test_what_is_no_host_is_told(tmp_path: Path, host: str) -> None:
    found = read_serve_file(write(tmp_path, 'dir = "."'))
    with pytest.raises(ConfigurationError, match="is no host"):
        with_hosts(found, host, "")
    with pytest.raises(ConfigurationError, match="is no host"):
        with_hosts(found, "", host)
    assert with_hosts(found, "::1", "").serving().host == "::1"


def test_a_process_is_told_all_of_it(tmp_path: Path) -> None:
    serving = read_serve_file(write(tmp_path, WHOLE.format(**SEED))).serving()
    words = command(tmp_path, "berlin", serving)
    order = msgspec.json.decode(words[-1], type=Order)
    assert (order.folder, order.name, order.serving) == (str(tmp_path), "berlin", serving)


def entry(number: int) -> PeerEntry:
    peer = text_id(number.to_bytes(32, "big"))
    return PeerEntry(
        name=f"peer-{number}", id=peer, pid_file="", socket="", door="tcp://h:1", curve="00" * 32
    )


def test_a_peer_meets_those_of_its_folder_first_and_then_seeds_each_once() -> None:
    peers = [entry(number) for number in range(1, 4)]
    seeds = [SeedEntry(id=entry(number).id, door="tcp://s:1", curve="11" * 32) for number in (3, 9)]
    met = contacts("peer-2", peers, seeds)
    assert [contact.door for contact in met] == ["tcp://h:1", "tcp://h:1", "tcp://s:1"]
    assert [contact.peer[-1] for contact in met] == [3, 1, 9]


def test_contacts_are_bounded_and_leave_room_for_seeds() -> None:
    peers = [entry(number) for number in range(1, 40)]
    seeds = [
        SeedEntry(id=entry(number).id, door="tcp://s:1", curve="11" * 32)
        for number in range(100, 140)
    ]
    met = contacts("peer-1", peers, seeds)
    assert len(met) == CONTACTS_LIMIT
    assert sum(contact.door == "tcp://s:1" for contact in met) == CONTACTS_LIMIT // 2
