"""Layer 6: the `tapstack` command."""
