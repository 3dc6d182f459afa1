"""Seeds that once failed, kept with the commit that mended what they found.

Each is (scenario, seed). `docs/found-by-simulation.md` tells what was wrong.
"""

SEEDS: tuple[tuple[str, int], ...] = (("liar-defaulter", 1), ("pauses", 20001))
