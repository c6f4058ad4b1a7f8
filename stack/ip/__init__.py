"""Layer 1: IPv4, ARP and ICMP logic, sans I/O."""
