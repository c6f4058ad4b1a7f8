"""SOCKS5 and port forwarding between the kernel's side and a host of the stack."""
