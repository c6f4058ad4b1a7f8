"""C clients with our server, our client with C servers, found by rpcbind on both sides; what rpcinfo says of us."""

import re
import socket

import pytest

from stack import rpc
from stack.rpc.constants import AuthStat, Status
from stack.rpc.message import call_head, parse_reply
from stack.rpc.raw import raw_call, raw_procedure
from stack.rpc.record import mark_of
from stack.rpc.rpcbind.address import to_universal
from stack.rpc.rpcbind.protocol import PMAP_V2, pmap_mapping
from tests.support.rpc_calc import PROGRAM
from tests.support.rpc_net import OURS, SERVER
from tests.support.rpc_ours import Calc1, calc, host_in, in_thread, run, serving, values

pytestmark = [pytest.mark.netns, pytest.mark.interop]
both = pytest.mark.parametrize("protocol", ["udp", "tcp"])
PORT = 2049  # of both servers, so that what is said of them differs in the address only


def of_c(net, protocol):
    """What the C client prints of the C server."""
    with net.server.calc():
        return net.client.run(net.programs.client, SERVER, protocol, "all").stdout


@both
def test_a_c_client_sees_no_difference(net, protocol):
    async def main():
        async with serving(net):
            return await in_thread(net.client.run, net.programs.client, OURS, protocol, "all")

    assert run(main()).stdout == of_c(net, protocol)


@both
def test_our_client_gets_the_same_from_a_c_server(net, protocol):
    async def main():
        async with (
            host_in(net) as host,
            rpc.connect(calc.CALC_V1, SERVER, proto=protocol, host=host) as one,
            rpc.connect(calc.CALC_V2, SERVER, proto=protocol, host=host) as two,
        ):
            lines = [line async for line in transcript(one, two, stream=protocol == "tcp")]
        return "".join(f"{line}\n" for line in lines)

    expected = of_c(net, protocol)
    with net.server.calc():
        assert run(main()) == expected


async def transcript(one, two, *, stream):
    """What calc_client.c prints."""
    async for line in numbers(one):
        yield line
    for length in (0, 3, 1000):
        yield await lists(one, length)
    for size in (0, 1, 8000, *((900_000,) if stream else ())):
        data = bytes((i * 7 + i // 256) & 255 for i in range(size))
        yield f"echo of {size}: {'same' if await one.CALC_ECHO(data) == data else 'NOT THE SAME'}"
    yield await one.CALC_GREET("wörld")
    for given in everythings():
        yield shown(await one.CALC_EVERYTHING(given))
    who = await one.CALC_WHO()
    yield f"flavor {who.flavor} machine {who.machine} uid {who.uid} gid {who.gid} gids"
    yield f"slept {await one.CALC_SLEEP(20)}"
    await two.CALC_RESET()
    counted = [await one.CALC_COUNTER() for _ in range(3)]
    yield f"counter {counted[-1]}, still {await one.CALC_COUNT()}"
    yield f"sum of three {await two.CALC_ADD3(1 << 50, -1, 7)}"
    with pytest.raises(rpc.ProcUnavail):
        await raw_call(one, raw_procedure(99), b"")
    yield "procedure 99: RPC: Procedure unavailable"


async def numbers(one):
    for what, sign in zip(calc.op, "+-*/", strict=True):
        for a, b in ((1, 2), (-5, 3), (1 << 40, -3), (7, 0)):
            plain = await one.CALC_DO(calc.args(what, a, b))
            tried = await one.CALC_TRY(calc.args(what, a, b))
            end = {
                calc.verdict.FINE: f"fine {tried.value}",
                calc.verdict.BY_ZERO: "by zero",
                calc.verdict.TOO_BIG: f"verdict -7: {tried.value}",
            }[tried.status]
            yield f"{a} {sign} {b}: status {plain.status} value {plain.value}, {end}"


async def lists(one, length):
    first = None
    for i in reversed(range(length)):
        first = calc.node(i * i - 5, first)
    back = values(await one.CALC_REVERSE(first))
    begin = "".join(f" {value}" for value in back[:5])
    return f"list of {length}: sum {await one.CALC_SUM(first)}, reversed{begin}, {len(back)} nodes"


def everythings():
    yield calc.everything(
        small=-(1 << 31), natural=(1 << 32) - 1, large=-(1 << 63), vast=(1 << 64) - 1, flag=True, single=1.5,
        twice=-0.1, what=calc.op.DIV, five=b"\x00\x01\xfe\xff\x80", some=b"\1\2\3", text="grüß dich",
        fixed=[1, -2, 3, -4, 5, -6, 7, -8], counts=[0, 1, (1 << 32) - 1],
        corners=[calc.point(0, 0), calc.point(1.5, -2.25), calc.point(1e300, -1e-300)], centre=calc.point(0.5, 0.25),
        note=calc.maybe_text(True, "noted"), last=calc.outcome(calc.verdict.TOO_BIG, "why not"),
    )  # fmt: skip
    yield calc.everything(
        small=0, natural=0, large=0, vast=0, flag=False, single=0, twice=0, what=calc.op.ADD, five=bytes(5), some=b"",
        text="", fixed=[0] * 8, counts=[], corners=[], centre=None, note=calc.maybe_text(False),
        last=calc.outcome(calc.verdict.BY_ZERO),
    )  # fmt: skip


def shown(it):
    points = [f"({corner.x:g}, {corner.y:g})" for corner in it.corners]
    centre = ["centre", f"({it.centre.x:g}, {it.centre.y:g})"] if it.centre else []
    counts = [f"counts {len(it.counts)}:", *map(str, it.counts)]
    some = [f"{octet:02x}" for octet in it.some]
    numbers_of = [
        it.small,
        it.natural,
        it.large,
        it.vast,
        int(it.flag),
        f"{it.single:g}",
        f"{it.twice:g}",
        int(it.what),
    ]
    words = [
        "everything:",
        *map(str, numbers_of),
        it.five.hex(),
        "some",
        str(len(some)),
        *some,
        f'"{it.text}"',
        "words",
    ]
    note = it.note.value if it.note.present else "none"
    why = it.last.value if it.last.status is calc.verdict.TOO_BIG else ""
    end = ["note", note, "last", str(int(it.last.status)), why]
    return " ".join([*words, *map(str, it.fixed), *counts, *points, *centre, *end])


@both
def test_who_calls_is_told_both_ways(net, protocol):
    def ask(address):
        return net.client.run(net.programs.client, address, protocol, "who", "1234").stdout

    async def main():
        async with serving(net):
            theirs = await in_thread(ask, OURS)
        async with host_in(net) as host:
            caller = rpc.AuthSys(1234, 77, [7, 8, 9], machine="teapot")
            async with rpc.connect(calc.CALC_V1, SERVER, proto=protocol, host=host, auth=caller) as client:
                return theirs, await client.CALC_WHO()

    with net.server.calc():
        told = ask(SERVER)
        theirs, ours = run(main())
    assert told == theirs == "flavor 1 machine teapot uid 1234 gid 77 gids 7 8 9\n"
    assert ours == calc.caller(1, "teapot", 1234, 77, [7, 8, 9])


RPCINFO = (
    "-p HOST",
    "-s HOST",
    "HOST",
    "-T udp HOST CALC",
    "-T tcp HOST CALC",
    "-T udp HOST CALC 1",
    "-T tcp HOST CALC 2",
    "-T tcp HOST CALC 9",
    "-T udp HOST CALC 9",
    "-t HOST CALC",
    "-u HOST CALC",
    "-t HOST CALC 2",
    "-u HOST CALC 1",
    "-u HOST CALC 9",
    "-T tcp HOST 100000",
    "-T udp HOST 100000 4",
    "-T tcp HOST 536873370 1",
    "-l HOST CALC 1",
)


def rpcinfo(net, words, address):
    """What it prints and says, and its exit status, in the same words whoever is asked."""
    command = ["rpcinfo", *words.replace("HOST", address).replace("CALC", str(PROGRAM)).split()]
    done = net.client.run(*command, check=False)
    text = done.stdout + done.stderr
    for port in (PORT, 111):
        for written in (address, "0.0.0.0"):  # C serves at all addresses, we at each of ours
            text = text.replace(to_universal(written, port), f"HOST-{port}")
    return done.returncode, sorted(re.sub(r"\s+", " ", line).strip() for line in text.splitlines())


def without_extras(lines):
    """C's rpcbind lists its own Unix socket and IPv6, which our host does not have; and names users as owners."""
    kept = [line for line in lines if not {"local", "udp6", "tcp6"} & set(line.split())]
    return [
        re.sub(r",(local|udp6|tcp6)|(local|udp6|tcp6),|superuser|unknown|server \d+", "", line).strip() for line in kept
    ]


@pytest.fixture
def said(net):
    """What rpcinfo says of C, and of us."""
    with net.server.calc(port=PORT):
        of_theirs = {words: rpcinfo(net, words, SERVER) for words in RPCINFO}

    async def main():
        async with serving(net, PORT):
            return {words: await in_thread(rpcinfo, net, words, OURS) for words in RPCINFO}

    return of_theirs, run(main())


def test_rpcinfo_says_the_same_of_us(said):
    theirs, ours = said
    for words in RPCINFO:
        assert ours[words][0] == theirs[words][0], words
        assert without_extras(ours[words][1]) == without_extras(theirs[words][1]), words
    assert ours["-T tcp HOST CALC 9"] == (
        1,
        [
            f"program {PROGRAM} version 9 is not available",
            "rpcinfo: RPC: Program/version mismatch; low version = 1, high version = 2",
        ],
    )
    assert ours["-T udp HOST CALC"][0] == 0
    assert f"program {PROGRAM} version 1 ready and waiting" in ours["-T udp HOST CALC"][1]


def test_we_list_what_rpcinfo_lists(net):
    async def main():
        async with host_in(net) as host:
            return await rpc.registered(SERVER, host=host)

    with net.server.calc():
        listed = [line.split() for line in net.client.run("rpcinfo", SERVER).stdout.splitlines()[1:]]
        ours = run(main())
    assert [(str(one.program), str(one.version), one.netid, one.address) for one in ours] == [
        tuple(words[:4]) for words in listed
    ]


def set_by_hand(net, address):
    """SET from the client's address, which the C library only sends to its own rpcbind; what the reply says."""
    procedure = PMAP_V2.procedures[1]
    args = procedure.encode_args((pmap_mapping(PROGRAM, 3, 17, 99),))
    with net.client.namespace.entered(), socket.create_connection((address, 111), 5) as sock:
        message = b"xid!" + call_head(PMAP_V2.program, 2, 1) + args
        sock.sendall(mark_of(len(message)) + message)
        return parse_reply(sock.recv(1000)[4:])


def test_a_stranger_changes_nothing(net):
    async def main():
        async with serving(net, PORT) as host:
            before = await rpc.registered(OURS, host=host)
            reply = await in_thread(set_by_hand, net, OURS)
            assert await rpc.registered(OURS, host=host) == before
            return reply

    theirs, ours = set_by_hand(net, SERVER), run(main())
    assert ours.status == theirs.status == Status.AUTH_ERROR
    assert ours.auth_stat == theirs.auth_stat == AuthStat.TOOWEAK


def test_a_connection_that_is_cut_after_the_execution(net):
    """By C's server, which has no cache: the call is not sent again, and says that it may have run."""

    async def main():
        async with (
            host_in(net) as host,
            rpc.connect(calc.CALC_V1, SERVER, proto="tcp", host=host) as client,
        ):
            before = await client.CALC_COUNT()
            with pytest.raises(rpc.ConnectionLost) as caught:
                await client.CALC_CUT(timeout=5)
            assert caught.value.maybe_executed
            assert await client.CALC_COUNT() == before + 1  # on another connection
            # who says that twice does no harm gets what he asked for: it is done until there is an answer
            with pytest.raises(rpc.RpcError):
                await client.CALC_CUT(timeout=0.5, semantics=rpc.Semantics.AT_LEAST_ONCE)
            assert await client.CALC_COUNT() > before + 2

    with net.server.calc():
        run(main())


def test_a_connection_that_is_cut_by_a_server_of_ours(net):
    """Which has a cache: it knows the call, so it is executed once, and the copy is not answered either."""

    async def main():
        counter = [0]
        async with (
            host_in(net) as host,
            await rpc.serve([Calc1(counter)], host=host) as server,
            rpc.connect(calc.CALC_V1, OURS, port=server.tcp_port, host=host) as client,
        ):
            with pytest.raises(rpc.RpcError) as caught:
                await client.CALC_CUT(timeout=1)
            assert caught.value.maybe_executed
            return counter

    assert run(main()) == [1]
