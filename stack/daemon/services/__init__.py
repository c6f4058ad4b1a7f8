"""What the daemon offers on the stack's address.  Plain asyncio protocols: they know no stack."""
