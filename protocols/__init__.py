"""The mesh's protocols: pure state machines that know nothing of sockets, disks or clocks.

Each subpackage is one protocol, independent of the others; `machine.py` is the
interface that all of them implement, `effects.py` what they may ask for.
"""
