"""Layer 2: one TCP/IP host, sans I/O: frames and time in, frames and deadlines out."""
