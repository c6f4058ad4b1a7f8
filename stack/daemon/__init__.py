"""Layer 6: the tapstack daemon."""
