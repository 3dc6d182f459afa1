"""How a newcomer gets its credential: single-use invitations (docs/protocols/admission.md)."""
