"""How long `mesh up` takes until every peer sees every other, skills included."""

from tests.benchmarks.figures import Figure, local_mesh, median

RUNS = 5


def run() -> list[Figure]:
    """Medians over fresh folders, keys and credentials made on the way."""
    figures = []
    for peers, reach in ((5, "< 1.5"), (16, "< 3")):
        seconds = []
        for _ in range(RUNS):
            with local_mesh(peers) as (_, up):
                assert up["converged"], up
                seconds.append(float(up["seconds"]))
        figures.append(Figure(f"mesh up -n {peers} to converged", median(seconds), "s", reach))
    return figures
