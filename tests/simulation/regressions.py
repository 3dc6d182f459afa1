"""Seeds that once failed, kept with the commit that mended what they found.

Each is (scenario, seed). `docs/found-by-simulation.md` tells what was wrong.
"""

SEEDS: tuple[tuple[str, int], ...] = (
    ("byzantine-defaulter", 1),
    ("paused-peer", 20001),
    ("restored-backup", 0),
    ("everything-at-once", 100),
    ("everything-at-once", 106),
    ("everything-at-once", 50165),
    ("everything-at-once", 50277),
    ("everything-at-once", 100671),
    ("everything-at-once", 300142),
    ("everything-at-once", 400071),
    ("everything-at-once", 0),
    ("everything-at-once", 620041),
    ("everything-at-once", 620266),
    ("everything-at-once", 620509),
    ("disk-trouble", 107),
    ("clock-trouble", 60000),
    ("board", 1011),
    ("voting", 0),
    ("voting-changes", 1),
    ("voting-changes-restored", 63),
    ("voting-changes", 21),
    ("byzantine-forker", 42690),
    ("everyday", 2),
)
