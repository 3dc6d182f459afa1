"""One scenario in the simulator and over real sockets."""
