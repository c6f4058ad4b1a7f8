"""The smallest program on the stack: a host that answers pings.

smallest.py TAP ADDRESS/PREFIX HOST_ADDRESS
"""

import asyncio
import sys

import stack


async def main(tap: str, address: str, host_address: str) -> None:
    """Until killed."""
    async with stack.open_tap(tap, address, host_address=host_address):
        await asyncio.Event().wait()


if __name__ == "__main__":
    stack.run(main(*sys.argv[1:4]))
