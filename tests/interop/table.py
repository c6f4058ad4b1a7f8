"""The interop matrix as data: which library stands at which end of which stack, and on which loop.

A cell is RUN, or the sentence that says why there is nothing to run.  `tests/interop/test_matrix.py` runs every cell,
`tools/interop_matrix.py` writes the table into the README.  A row's module in `tests/interop/rows` has two functions:

    serve(site)         an async context manager that serves, and gives what the client has to know
    talk(site, served)  the client: real work with checked content; raises when anything is wrong

Neither knows which stack it is on: both run unchanged on our loop and, in a process of its own, on plain uvloop or
asyncio over the kernel's sockets.
"""

from dataclasses import dataclass
from typing import Final

RUN: Final = ""
LOOPS: Final = ("uvloop", "asyncio")
ENDS: Final = ("ours-ours", "ours-kernel", "kernel-ours")  # client-server


@dataclass(frozen=True, slots=True)
class Column:
    """Who is the client, who the server, and the loop on both sides."""

    client: str
    server: str
    loop: str

    @property
    def ends(self) -> str:
        """Client and server in one word."""
        return f"{self.client}-{self.server}"

    @property
    def name(self) -> str:
        """As in the ids of the tests."""
        return f"{self.ends}-{self.loop}"


@dataclass(frozen=True, slots=True)
class Row:
    """One library, or a few that belong together.  `cells` has an entry for each column's name."""

    module: str
    title: str
    cells: dict[str, str]
    datagrams: bool = False  # it uses UDP besides TCP
    pure: bool = False  # all of it is Python, at both ends: it can stand on a bad link of ours
    engines: bool = False  # it is not on asyncio: our hosts run on loops in threads of their own


COLUMNS: Final = tuple(
    Column(*ends, loop) for ends in (("ours", "ours"), ("ours", "kernel"), ("kernel", "ours")) for loop in LOOPS
)


def everywhere() -> dict[str, str]:
    """Every cell runs."""
    return {column.name: RUN for column in COLUMNS}


def server_in_c(program: str, also: str = "") -> dict[str, str]:
    """The server is a C program, which opens kernel sockets: it stands at the kernel's end only.

    `also` are further ends that can be run all the same.
    """
    reason = f"{program} is a C program: it opens its sockets in the kernel"
    runs = {"ours-kernel", also}
    return {column.name: RUN if column.ends in runs else reason for column in COLUMNS}


ROWS: Final = (
    Row("uvicorn_starlette", "uvicorn + Starlette", everywhere(), pure=True),
    Row("aiohttp_both", "aiohttp, server and client", everywhere(), pure=True),
    Row("httpx_versions", "httpx: HTTP/1.1, HTTP/2, TLS", everywhere(), pure=True),
    Row("websockets_echo", "websockets", everywhere(), pure=True),
    Row("grpclib_calls", "grpclib, unary and streaming", everywhere(), pure=True),
    Row("redis_debian", "redis-py, Debian's redis-server", server_in_c("redis-server")),
    Row("asyncpg_debian", "asyncpg, Debian's PostgreSQL", server_in_c("PostgreSQL")),
    Row("asyncssh_both", "asyncssh, server and client", everywhere(), pure=True),
    Row("openssh", "asyncssh and OpenSSH", server_in_c("OpenSSH", also="kernel-ours")),
    Row("dnspython_queries", "dnspython, UDP and TCP", everywhere(), datagrams=True, pure=True),
    Row("pycapnp_calls", "pycapnp", everywhere()),
    Row("hypercorn_listener", "hypercorn, through our listener", everywhere(), pure=True),
    Row("anyio_listener", "anyio server, through our listener", everywhere(), pure=True),
    Row("trio_factory", "trio, through its socket factory", everywhere(), datagrams=True, engines=True),
)

# Known limits: named in the README below the table.
LIMITS: Final = (
    (
        "httpx makes a new connection for each request: httpcore takes a socket whose `fileno()` is -1 for one the "
        "peer has closed. With `stack.adapters.httpcore_backend.StackBackend` as its network backend it reuses them."
    ),
)

# Not possible at all: named in the README, so that nobody looks for them.
IMPOSSIBLE: Final = {
    "granian": "its server is Rust",
    "grpcio": "its sockets are C",
    "aiodns": "c-ares opens sockets in C",
}
