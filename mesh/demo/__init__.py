"""`mesh demo`: a team of agents audits a source tree, and loses a peer half-way."""
