"""Agreement that liars cannot bend: ballots, and a small ordered log."""
