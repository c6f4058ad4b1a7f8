"""Layer 0: bytes to numbers and back.  No state, no time, no policy."""
