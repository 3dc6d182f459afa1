"""See docs/protocols/gossip.md."""
