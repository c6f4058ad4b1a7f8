"""Hosts and faulty links on a virtual clock; one seed decides everything."""
