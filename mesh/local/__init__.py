"""The local protocol: what clients and workers speak with their peer.

See docs/reference/local-protocol.md.
"""
