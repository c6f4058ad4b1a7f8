"""The interop matrix (tests/interop/table.py): one test for each cell, and that no cell is missing.

Our side runs in this process on the loop of stack.aio.loop, the kernel's side in another one on the loop as it is.
Besides what the programs themselves check, a cell proves that its traffic went over our stack, and leaves nothing open.
"""

import asyncio
import contextlib
import importlib
from functools import partial

import pytest

from stack.aio.loop import new_event_loop
from tests.interop.table import COLUMNS, ENDS, IMPOSSIBLE, LOOPS, ROWS, RUN, Column, Row
from tests.support.interop import Site
from tests.support.interop_hosts import assert_went_over, engines_at, hosts_at, nothing_left
from tests.support.interop_peer import PeerCrashed

LIMIT = 60.0  # seconds for each step of a cell; all of it takes one or two
CRASHES = 6  # times that a foreign process may begin anew
TO_RUN = [(row, column) for row in ROWS for column in COLUMNS if row.cells.get(column.name) == RUN]

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(150),
    # the warnings of the libraries are not ours to fix
    pytest.mark.filterwarnings("default"),
]


def cell_id(row: Row, column: Column) -> str:
    return f"{row.module}-{column.name}"


def cells():
    for row, column in TO_RUN:
        marks = [] if column.ends == "ours-ours" else [pytest.mark.netns]
        yield pytest.param(row, column, marks=marks, id=cell_id(row, column))


async def converse(row: Row, column: Column, certificates: str, peer) -> None:
    """One cell.  `peer` is the process on the kernel's side, None where there is none."""
    program = importlib.import_module(f"tests.interop.rows.{row.module}")
    if row.engines:
        around = engines_at(column.client, column.server, partial(new_event_loop, uvloop=column.loop == "uvloop"))
    else:
        around = hosts_at(column.client, column.server)
    async with around as hosts:
        server = Site(hosts.server.address, certificates, ours=column.server == "ours", own=hosts.server.own)
        client = Site(hosts.client.address, certificates, ours=column.client == "ours", own=hosts.client.own)

        async def there(do: str, site: Site, **details):
            place = {"address": site.address, "certs": site.certs}
            order = {"row": row.module, "site": place, "limit": LIMIT, **details}
            return await asyncio.to_thread(peer.order, do, **order)

        async with contextlib.AsyncExitStack() as serving:
            if server.ours:
                served = await serving.enter_async_context(program.serve(server))
            else:
                served = await there("serve", server)
                serving.push_async_callback(there, "stop", server)
            if client.ours:
                async with asyncio.timeout(LIMIT):
                    await program.talk(client, served)
            else:
                await there("talk", client, served=served)
        await nothing_left(hosts)
        assert_went_over(hosts, datagrams=row.datagrams)


def run_cell(row: Row, column: Column, certificates, request) -> None:
    uvloop = column.loop == "uvloop"
    with contextlib.ExitStack() as around:
        peer = None
        if column.ends != "ours-ours":
            peer = request.getfixturevalue("kernel_peers")(column.loop)
            around.enter_context(request.getfixturevalue("tap_namespace").entered())
        with asyncio.Runner(loop_factory=lambda: new_event_loop(uvloop=uvloop)) as runner:
            try:
                runner.run(converse(row, column, str(certificates), peer))
            except BaseException:
                if peer is not None:  # it may still be in the middle of something
                    request.getfixturevalue("kernel_peers")(column.loop, fresh=True)
                raise


@pytest.mark.parametrize(("row", "column"), list(cells()))
def test_cell(row, column, certificates, request):
    for left in reversed(range(CRASHES)):
        try:
            run_cell(row, column, certificates, request)
        except PeerCrashed:
            # pycapnp jumps to address 0, in a process without code of ours: once in some thirty runs, more often on a
            # busy machine
            if row.module != "pycapnp_calls" or not left:
                raise
        else:
            return


@pytest.mark.slow
@pytest.mark.parametrize("time", range(2, 7))
@pytest.mark.parametrize(("row", "column"), list(cells()))
def test_cell_again(row, column, time, certificates, request):
    run_cell(row, column, certificates, request)


def test_no_cell_is_missing():
    assert [(column.ends, column.loop) for column in COLUMNS] == [(ends, loop) for ends in ENDS for loop in LOOPS]
    names = {column.name for column in COLUMNS}
    for row in ROWS:
        assert set(row.cells) == names, row.title
        assert RUN in row.cells.values(), f"{row.title} is never run"
        for reason in row.cells.values():
            assert reason == RUN or len(reason.split()) > 3, f"{row.title}: {reason!r} is no reason"
    assert len({row.module for row in ROWS}) == len(ROWS)


def test_every_library_that_was_promised_has_its_row():
    titles = " ".join(row.title for row in ROWS)
    for library in (
        "uvicorn", "Starlette", "aiohttp", "httpx", "HTTP/1.1", "HTTP/2", "TLS", "websockets", "grpclib", "redis-py",
        "asyncpg", "asyncssh", "OpenSSH", "dnspython", "pycapnp", "hypercorn", "anyio", "trio",
    ):  # fmt: skip
        assert library in titles
    assert not any(name in titles for name in IMPOSSIBLE)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_conversation_that_bypasses_our_hosts_is_caught(loop, certificates):
    """The control: a row over the kernel's loopback, on our loop and beside our hosts, passes but for the proof."""
    program = importlib.import_module("tests.interop.rows.websockets_echo")

    async def main():
        async with hosts_at("ours", "ours") as hosts:
            # its own certificates are for other addresses: only the part without TLS
            async with program.serve(Site("127.0.0.1", str(certificates))) as served:
                await program.plain(Site("127.0.0.1", str(certificates)), served)
            with pytest.raises(AssertionError, match="TCP_IN_SEGS is 0"):
                assert_went_over(hosts, datagrams=False)

    with asyncio.Runner(loop_factory=lambda: new_event_loop(uvloop=loop == "uvloop")) as runner:
        runner.run(main())


def test_what_is_left_open_is_caught():
    """The control of the other proof."""

    async def main():
        async with hosts_at("ours", "ours") as hosts:
            assert hosts.server.host is not None
            await hosts.server.host.start_server(lambda reader, writer: None, port=80)
            with pytest.raises(AssertionError, match="left open"):
                await nothing_left(hosts, 0.05)

    with asyncio.Runner(loop_factory=lambda: new_event_loop(uvloop=False)) as runner:
        runner.run(main())
