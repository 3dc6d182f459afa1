"""A run with faults and every kind of handler, to be compared with itself."""

from mesh.testing import LocalMesh
from tests.testing.agents import diary, everybody

Story = tuple[str, list[str]]


def story(seed: int) -> Story:
    """The digest of the run, and what handlers noted, in order."""
    diary.clear()
    takes = {"double": (0.1, 0.5)}
    with LocalMesh(peers=4, agents=everybody, seed=seed, takes=takes) as mesh:
        client = mesh.client
        handles = [client.submit("total", numbers=[n, n + 1]) for n in range(4)]
        handles += [client.submit("double", n=n) for n in range(8)]
        handles += [client.submit("gathers"), client.submit("depth_sync", levels=3)]
        mesh.run(0.4)
        mesh.kill("peer-2")
        mesh.loss(0.1)
        mesh.pause("peer-3", 1)
        mesh.run(2)
        mesh.restart("peer-2")
        for handle in handles:
            handle.outcome()
        client.options(timeout=1).submit("waits_under_trio").outcome()
    return mesh.digest, list(diary)
