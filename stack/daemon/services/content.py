"""The content of /bytes/N: the same bytes for every reader, so that a checksum proves the way they came.

Byte i is `BLOCK[i % len(BLOCK)]`.  The block's length is a prime, so that data put down at a wrong
multiple of a segment, page or buffer size never looks right.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

BLOCK: Final = hashlib.shake_128(b"tapstack").digest(262_139)


def chunks(length: int) -> Iterator[bytes | memoryview]:
    """The first `length` bytes, in pieces of a block."""
    for _ in range(length // len(BLOCK)):
        yield BLOCK
    if length % len(BLOCK):
        yield memoryview(BLOCK)[: length % len(BLOCK)]


def sha256(length: int) -> str:
    """The SHA-256, in hex, of the first `length` bytes."""
    digest = hashlib.sha256()
    for chunk in chunks(length):
        digest.update(chunk)
    return digest.hexdigest()
