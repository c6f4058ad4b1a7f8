"""Binding: where on a host a program is (RFC 1833)."""
