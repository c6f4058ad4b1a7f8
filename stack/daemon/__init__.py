"""Layer 6: the tapstack daemon.  `run.up(settings)` is the whole of it; the command line calls it."""
