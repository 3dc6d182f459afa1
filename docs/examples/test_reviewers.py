"""Tests of reviewers.py under faults. They need no model, no network, and hardly any time.

`RECORD=1 pytest test_reviewers.py -k complete` asks the real model, and keeps its answers.
"""

import os
from pathlib import Path

import pytest
import reviewers

from mesh import TaskFailed
from mesh.testing import LocalMesh

ANSWERS = Path(__file__).with_name("reviewers.json")
FILES = ["cache.py", "door.py", "wire.py"]
EXPECTED = {"cache.py": 2, "wire.py": 1}


def test_a_review_is_complete():
    how = {"record": ANSWERS} if os.environ.get("RECORD") else {"replay": ANSWERS}
    with LocalMesh(peers=3, agents=reviewers.agent, **how) as mesh:
        assert mesh.client.call("review", files=FILES) == EXPECTED


@pytest.mark.parametrize("seed", range(3))
def test_a_review_survives_the_death_of_the_peer_that_runs_it(seed):
    with LocalMesh(
        peers=4, agents=reviewers.agent, seed=seed, replay=ANSWERS, takes={"ask": (2, 20)}
    ) as mesh:
        handle = mesh.client.submit("review", files=FILES)
        mesh.run_until(lambda: mesh.running(handle))
        mesh.run(1)  # its questions are on their way
        mesh.kill(mesh.running(handle)[0])
        assert handle.result() == EXPECTED
        assert mesh.now < 60


def test_a_review_survives_a_partition_and_a_bad_network():
    with LocalMesh(peers=5, agents=reviewers.agent, replay=ANSWERS, takes={"ask": 5}) as mesh:
        mesh.loss(0.1)
        handle = mesh.client.submit("review", files=FILES)
        mesh.run(2)
        mesh.partition(["peer-1", "peer-2", "peer-3"], ["peer-4", "peer-5"])
        assert handle.result() == EXPECTED


def test_a_model_that_hangs_fails_the_review_in_time():
    with LocalMesh(peers=1, agents=reviewers.agent, replay=ANSWERS, takes={"ask": 9999}) as mesh:
        with pytest.raises(TaskFailed, match="ask"):
            mesh.client.call("review", files=FILES)
        assert mesh.now < 1000  # virtual seconds, which pass in no time
