"""Layer 1: UDP endpoints, sans I/O."""
