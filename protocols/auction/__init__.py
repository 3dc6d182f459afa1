"""See docs/protocols/auction.md."""
