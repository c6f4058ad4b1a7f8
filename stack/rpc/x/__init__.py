"""The compiler of interface files (RFC 4506 §6, RFC 5531 §12): text to a checked syntax tree to Python."""
