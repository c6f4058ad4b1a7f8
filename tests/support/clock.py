"""The virtual clock of tests, which is that of the simulator."""

from stack.sim.clock import VirtualClock

__all__ = ["VirtualClock"]
