"""One peer without I/O: the machine made of machines, over bytes."""
