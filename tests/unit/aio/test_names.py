"""Names and addresses on a StackLoop, compared with the C library where that has an answer."""

import asyncio
import errno
import socket

import pytest

from stack.aio.names import address_of


class Book:
    """A resolver out of a dict; an exception as an entry is raised."""

    def __init__(self, **entries):
        self.entries = entries
        self.asked = []

    async def resolve(self, name):
        self.asked.append(name)
        found = self.entries.get(name.replace(".", "_"), OSError("no such name"))
        if isinstance(found, Exception):
            raise found
        return found


class Unsure(OSError):
    temporary = True


class FamilyBook:
    """A resolver that is told which family is wanted."""

    def __init__(self):
        self.asked = []

    async def resolve(self, name):
        raise AssertionError("the family was forgotten")

    async def resolve_family(self, name, family):
        self.asked.append(family)
        return {socket.AF_INET: ["10.0.0.2"], socket.AF_INET6: ["2001:db8::1"], 0: ["10.0.0.2", "2001:db8::1"]}[family]


@pytest.fixture
def no_threads(monkeypatch):
    """Looking up in a thread fails: asyncio's goes through run_in_executor, uvloop's through libuv, for names only."""

    def refuse(*args):
        raise AssertionError("a thread was asked")

    monkeypatch.setattr(asyncio.SelectorEventLoop, "run_in_executor", refuse)


@pytest.mark.parametrize(
    ("host", "port", "options"),
    [
        ("10.0.0.2", 80, {}),
        ("10.0.0.2", "http", {"type": socket.SOCK_STREAM}),
        (b"10.0.0.2", b"80", {"type": socket.SOCK_DGRAM}),
        ("10.0.0.2", None, {"family": socket.AF_INET}),
        ("::1", 80, {"type": socket.SOCK_STREAM, "flags": socket.AI_PASSIVE}),
        (None, 80, {"type": socket.SOCK_STREAM, "flags": socket.AI_PASSIVE}),
        (None, 80, {"type": socket.SOCK_STREAM, "family": socket.AF_INET}),
    ],
)
def test_figures_are_answered_at_once_as_by_the_c_library(on_loop, no_threads, host, port, options):
    async def main():
        assert await asyncio.get_running_loop().getaddrinfo(host, port, **options) == socket.getaddrinfo(
            host, port, **options
        )

    on_loop(main())


@pytest.mark.parametrize(
    ("host", "port", "options"),
    [
        ("10.0.0.2", 80, {"family": socket.AF_INET6}),
        ("10.0.0.2", "no-such-service", {"type": socket.SOCK_STREAM}),
    ],
)
def test_what_does_not_go_together_is_a_gaierror(on_loop, host, port, options):
    async def main():
        with pytest.raises(socket.gaierror) as theirs:
            socket.getaddrinfo(host, port, **options)
        with pytest.raises(socket.gaierror) as ours:
            await asyncio.get_running_loop().getaddrinfo(host, port, **options)
        assert ours.value.errno in (theirs.value.errno, socket.EAI_NONAME)

    on_loop(main())


def test_names_without_a_resolver_are_the_base_loops(on_loop):
    async def main():
        infos = await asyncio.get_running_loop().getaddrinfo(
            "localhost", 80, family=socket.AF_INET, type=socket.SOCK_STREAM
        )
        assert infos[0][4] == ("127.0.0.1", 80)

    on_loop(main())


def test_names_go_to_the_resolver(on_loop, no_threads):
    async def main():
        loop = asyncio.get_running_loop()
        book = loop.resolver = Book(www_example=["10.0.0.2", "2001:db8::1", "10.0.0.3"])
        infos = await loop.getaddrinfo("www.example", 80, type=socket.SOCK_STREAM)
        assert [info[4][:2] for info in infos] == [("10.0.0.2", 80), ("2001:db8::1", 80), ("10.0.0.3", 80)]
        infos = await loop.getaddrinfo("www.example", 80, type=socket.SOCK_STREAM, family=socket.AF_INET6)
        assert [info[4][0] for info in infos] == ["2001:db8::1"]
        infos = await loop.getaddrinfo(
            b"www.example", "http", type=socket.SOCK_STREAM, family=socket.AF_INET, flags=socket.AI_CANONNAME
        )
        assert [(info[3], info[4]) for info in infos] == [("www.example", ("10.0.0.2", 80)), ("", ("10.0.0.3", 80))]
        assert book.asked == ["www.example"] * 3
        book.entries["xn--bcher-kva_example"] = ["10.0.0.4"]
        infos = await loop.getaddrinfo("b\u00fccher.example", 80, type=socket.SOCK_STREAM)
        assert infos[0][4] == ("10.0.0.4", 80)

    on_loop(main())


def test_a_resolver_that_takes_a_family_is_told_it(on_loop, no_threads):
    async def main():
        loop = asyncio.get_running_loop()
        book = loop.resolver = FamilyBook()
        for family, count in ((0, 2), (socket.AF_INET, 1), (socket.AF_INET6, 1)):
            infos = await loop.getaddrinfo("www.example", 80, type=socket.SOCK_STREAM, family=family)
            assert len(infos) == count
        assert book.asked == [0, socket.AF_INET, socket.AF_INET6]

    on_loop(main())


@pytest.mark.parametrize(
    ("entry", "options", "code"),
    [
        (OSError("no such name"), {}, socket.EAI_NONAME),
        (TimeoutError(), {}, socket.EAI_AGAIN),
        (Unsure("servers failed"), {}, socket.EAI_AGAIN),
        (socket.gaierror(socket.EAI_FAIL, "broken"), {}, socket.EAI_FAIL),
        ([], {}, socket.EAI_NONAME),
        (["10.0.0.2"], {"family": socket.AF_INET6}, socket.EAI_NONAME),
        (["10.0.0.2"], {"flags": socket.AI_NUMERICHOST}, socket.EAI_NONAME),
    ],
)
def test_what_the_resolver_cannot_say_is_a_gaierror(on_loop, entry, options, code):
    async def main():
        loop = asyncio.get_running_loop()
        loop.resolver = Book(www_example=entry)
        with pytest.raises(socket.gaierror) as info:
            await loop.getaddrinfo("www.example", 80, **options)
        assert info.value.errno == code
        if isinstance(entry, OSError) and not isinstance(entry, socket.gaierror):
            assert info.value.__cause__ is entry

    on_loop(main())


def test_localhost_is_asked_of_nobody_outside(on_loop):
    async def main():
        loop = asyncio.get_running_loop()
        book = loop.resolver = Book()
        for name in ("localhost", "LocalHost"):
            infos = await loop.getaddrinfo(name, 80, family=socket.AF_INET, type=socket.SOCK_STREAM)
            assert infos[0][4] == ("127.0.0.1", 80)
        assert book.asked == []

    on_loop(main())


def test_getnameinfo(on_loop):
    async def main():
        loop = asyncio.get_running_loop()
        numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        assert await loop.getnameinfo(("10.0.0.2", 80), numeric) == ("10.0.0.2", "80")
        assert (await loop.getnameinfo(("127.0.0.1", 80)))[1] == "http"
        loop.resolver = Book()
        assert await loop.getnameinfo(("10.0.0.2", 80)) == ("10.0.0.2", "http")
        with pytest.raises(socket.gaierror):
            await loop.getnameinfo(("10.0.0.2", 80), socket.NI_NAMEREQD)

    on_loop(main())


@pytest.mark.parametrize(
    "host",
    ["a..b", ".a", "x" * 64, "a." + "x" * 64 + ".b", "\u00e9" * 60, "\udcff", b"\xff", pytest.param(".", id="dot")],
)
def test_what_is_no_name_is_what_asyncio_raises_and_a_gaierror(on_loop, host):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises((UnicodeError, socket.gaierror)):  # asyncio itself
            await loop.getaddrinfo(host, 80)
        book = loop.resolver = Book()
        for kind in (UnicodeError, socket.gaierror):
            with pytest.raises(kind) as info:
                await loop.getaddrinfo(host, 80)
            assert info.value.errno == socket.EAI_NONAME
            assert "is not a name: " in str(info.value)
            assert len(str(info.value)) < 600
            with pytest.raises(kind):
                await loop.create_connection(asyncio.Protocol, host, 80)
        assert book.asked == []

    on_loop(main())


def test_a_host_has_a_hosts_name(on_loop):
    """As for the C library: what an attacker's server has for its own address may be a command."""

    async def main():
        loop = asyncio.get_running_loop()
        names = ("a.b-c.test", "_x.test", "a b", "-rf.test", "$(id).test", "a\\.b", "", "a..b", "a\n", "\u00e9.test")
        loop.resolver = Backwards(**{f"a10_0_0_{number}": name for number, name in enumerate(names)})
        found = [(await loop.getnameinfo((f"10.0.0.{number}", 80)))[0] for number in range(len(names))]
        assert found == ["a.b-c.test", "_x.test", *(f"10.0.0.{number}" for number in range(2, len(names)))]
        with pytest.raises(socket.gaierror) as info:
            await loop.getnameinfo(("10.0.0.4", 80), socket.NI_NAMEREQD)
        assert info.value.errno == socket.EAI_NONAME

    on_loop(main())


class Backwards(Book):
    """A resolver that knows the names of addresses."""

    def __init__(self, **names):
        super().__init__()
        self.names = names

    async def reverse(self, address):
        self.asked.append(address)
        found = self.names["a" + address.replace(".", "_").replace(":", "_")]
        if isinstance(found, Exception):
            raise found
        return found


def test_getnameinfo_asks_the_loops_resolver_for_names(on_loop):
    async def main():
        loop = asyncio.get_running_loop()
        gone = OSError(errno.ENOENT, "it has no name")
        book = Backwards(
            a10_0_0_2="two.test",
            a2001_db8__2="six.test",
            afe80__1="link.test",
            a10_0_0_3=gone,
            a10_0_0_4=TimeoutError(),
            a10_0_0_5=ValueError("wrong"),
        )
        loop.resolver = book
        assert await loop.getnameinfo(("10.0.0.2", 80)) == ("two.test", "http")
        assert await loop.getnameinfo(("10.0.0.2", 80), socket.NI_NUMERICSERV) == ("two.test", "80")
        assert await loop.getnameinfo(("2001:db8::2", 80, 0, 0), socket.NI_NAMEREQD) == ("six.test", "http")
        assert await loop.getnameinfo(("fe80::1", 80, 0, 1)) == ("link.test", "http")
        assert await loop.getnameinfo(("::ffff:10.0.0.2", 80, 0, 0)) == ("two.test", "http")
        assert book.asked == ["10.0.0.2", "10.0.0.2", "2001:db8::2", "fe80::1", "10.0.0.2"]
        assert await loop.getnameinfo(("10.0.0.2", 80), socket.NI_NUMERICHOST) == ("10.0.0.2", "http")
        assert await loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICSERV) != ("", "")
        assert len(book.asked) == 5  # figures and ourselves are nobody's business
        for address, code in (("10.0.0.3", socket.EAI_NONAME), ("10.0.0.4", socket.EAI_AGAIN)):
            with pytest.raises(socket.gaierror) as info:
                await loop.getnameinfo((address, 80), socket.NI_NAMEREQD)
            assert info.value.errno == code
        assert await loop.getnameinfo(("10.0.0.3", 80)) == ("10.0.0.3", "http")
        with pytest.raises(socket.gaierror) as info:
            await loop.getnameinfo(("10.0.0.4", 80))
        assert info.value.errno == socket.EAI_AGAIN
        with pytest.raises(ValueError, match="wrong"):
            await loop.getnameinfo(("10.0.0.5", 80))
        with pytest.raises(socket.gaierror) as info:
            await loop.getnameinfo(("10.0.0.2", 80), socket.NI_NAMEREQD | socket.NI_NUMERICHOST)
        assert info.value.errno == socket.EAI_NONAME
        with pytest.raises(socket.gaierror):
            await loop.getnameinfo(("not figures", 80))

    on_loop(main())


def test_address_of():
    assert address_of("10.0.0.1") == 0x0A000001
    assert [address_of(host) for host in ("::1", "a.example", "010.0.0.1", "", b"10.0.0.1", None)] == [None] * 6
