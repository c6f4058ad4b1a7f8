"""Attached processes: each has a port on the daemon's switch, an address of its own, and its own stack."""
