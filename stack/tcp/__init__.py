"""Layer 1: one TCP connection (RFC 9293), sans I/O."""
