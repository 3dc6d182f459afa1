"""The examples in other languages, against a peer."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.client import Client, TaskFailed
from tests.local.fake_peer import FakePeer, running_peer
from tests.local.test_worker_host import until

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
NODE = shutil.which("node")
NC = """
import socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
peer.sendall(sys.stdin.buffer.read())
peer.shutdown(socket.SHUT_WR)
while data := peer.recv(65536):
    sys.stdout.buffer.write(data)
"""
"""What `nc -N -U` does, where there is none."""


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakePeer]:
    with running_peer(tmp_path_factory.mktemp("languages")) as running:
        yield running


@contextlib.contextmanager
def agent(peer: FakePeer, *command: str, skill: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [*command, str(peer.socket)], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    try:
        until(lambda: skill in peer.driver.skills or process.poll() is not None)
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def test_an_agent_of_sockets_and_json_alone(peer: FakePeer) -> None:
    plain = [sys.executable, "-S", str(EXAMPLES / "plain_agent.py")]
    with agent(peer, *plain, skill="reverse"), Client(address=peer.socket) as client:
        assert list(client.map("reverse", [{"text": "abc"}, {"text": "žluťoučký"}])) == [
            "cba",
            "ýkčuoťulž",
        ]


@pytest.mark.parametrize("node", [NODE] if NODE else [])
def test_an_agent_in_javascript(peer: FakePeer, node: str) -> None:
    with (
        agent(peer, node, str(EXAMPLES / "words.js"), skill="count_words") as process,
        Client(address=peer.socket) as client,
    ):
        assert client.call("count_words", text="To be or not to be") == {
            "to": 2,
            "be": 2,
            "or": 1,
            "not": 1,
        }
        texts = [{"text": "word " * n} for n in range(1, 20)]
        counts = client.map("count_words", texts)
        assert [count["word"] for count in counts] == list(range(1, 20))
        with pytest.raises(TaskFailed) as caught:
            # The peer of this test checks no schema.
            client.options(retries=0).call("count_words")
        assert caught.value.kind == "TypeError"
        assert process.poll() is None


def test_a_call_from_a_shell(peer: FakePeer, tmp_path: Path) -> None:
    relay = tmp_path / "nc.py"
    relay.write_text(NC)
    ran = call_from_shell(peer, relay, "echo", '{"text": "hi"}')
    assert ran.returncode == 0
    (end,) = json.loads(ran.stdout)["tasks"]
    assert (end["state"], end["value"]) == ("done", {"text": "hi"})
    ran = call_from_shell(peer, relay, "nobody-has-it", "{}")
    assert json.loads(ran.stdout)["kind"] == "UnknownSkill"


def call_from_shell(
    peer: FakePeer, relay: Path, skill: str, inputs: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", str(EXAMPLES / "call.sh"), str(peer.socket), skill, inputs],
        env={**os.environ, "CONNECT": f"{sys.executable} -S {relay}"},
        capture_output=True,
        text=True,
        check=False,
    )
