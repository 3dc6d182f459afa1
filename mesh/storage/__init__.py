"""The peer's disk: journal, checkpoint, flight recorder."""
