"""Procedures whose arguments and results stay octets: for who passes calls on, or knows a program by number only."""

from typing import Any, Final

from stack.rpc.calls import Semantics
from stack.rpc.program import Client, Procedure, Server, Version
from stack.rpc.xdr import VOID, Codec, Reader, Writer


def _read(reader: Reader) -> bytes:
    """All that is left."""
    at = reader.at
    reader.at = len(reader.data)
    return reader.data[at:]


def _write(writer: Writer, value: bytes) -> None:
    writer.out += value


OCTETS: Final[Codec[bytes]] = Codec("octets", _read, _write)


def raw_version(program: int, version: int, name: str = "") -> type[Version]:
    """A version of a program without an interface file; its Client has no methods: `raw_call` makes calls."""
    null = Procedure("NULL", 0, (), VOID, "NULL")
    namespace: dict[str, Any] = {
        "program": program,
        "version": version,
        "name": name or f"program {program} version {version}",
        "program_name": name or f"program {program}",
        "procedures": {0: null},
        "Server": type("Server", (Server,), {"__slots__": ()}),
        "Client": type("Client", (Client,), {"__slots__": ()}),
    }
    return type("RawVersion", (Version,), namespace)


def raw_procedure(number: int, name: str = "") -> Procedure:
    """A procedure that takes octets, and gives them."""
    return Procedure(name or f"procedure {number}", number, (OCTETS,), OCTETS, "")


async def raw_call(
    client: Client, procedure: Procedure, args: bytes, *, semantics: Semantics = Semantics.AT_MOST_ONCE, **options: Any
) -> bytes:
    """Make a call; `client` may be that of any version.  Raises RpcError."""
    call: Any = client._call  # noqa: SLF001  (what all of a stub's methods call)
    found: bytes = await call(procedure, (args,), {"semantics": semantics, **options})
    return found
