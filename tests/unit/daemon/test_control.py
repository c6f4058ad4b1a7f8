import asyncio
import json
import os
import socket
import stat

import pytest

from stack import app
from stack.daemon import control
from stack.daemon.control import ControlServer
from stack.errors import AddressInUse, ConnectionRefused, InvalidAddress, StackError


class Actor:
    """Answers like a daemon; `connect` leads to an echo of its own."""

    seq = 0

    def status(self):
        return {"big": "x" * 200_000}

    async def connect(self, address, port):
        if port == 1:
            raise ConnectionRefused("connection refused")
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=theirs)

        async def echo():
            data = await reader.read()
            writer.write(data)
            writer.close()

        self.echo = asyncio.create_task(echo())
        return await asyncio.open_connection(sock=ours)

    async def look_up(self, request):
        return {"name": request["name"]}

    async def call(self, request):
        return {"status": "ok"}

    async def ping(self, address, size, timeout_s):
        if address == "9.9.9.9":
            raise InvalidAddress("no place for echo requests")
        self.seq += 1
        return {"rtt_us": self.seq, "ttl": 64} if self.seq != 2 else {"error": "no answer"}


def path_in(folder):
    return folder / "run" / "tapstack0" / "control"


def listen(folder):
    return control.listen(path_in(folder), os.getuid(), os.getgid(), own_folder=True)


def talk(tmp_path, request, after=b"", owners=None):
    """All that the daemon says to `request`."""

    async def scenario():
        server = ControlServer(Actor(), owners)
        await server.start(listen(tmp_path))
        reader, writer = await asyncio.open_unix_connection(path_in(tmp_path))
        writer.write(request + b"\n" + after)
        if after:
            writer.write_eof()
        answer = await reader.read()
        writer.close()
        await server.stop()
        return answer

    path_in(tmp_path).parent.parent.mkdir(exist_ok=True)
    return asyncio.run(asyncio.wait_for(scenario(), 20))


def answers(tmp_path, **request):
    return [json.loads(line) for line in talk(tmp_path, json.dumps(request).encode()).splitlines()]


def test_only_the_owner_has_rights_on_the_socket(tmp_path):
    with listen(tmp_path):
        assert stat.S_IMODE(path_in(tmp_path).stat().st_mode) == 0o600
        assert stat.S_IMODE(path_in(tmp_path).parent.stat().st_mode) == 0o700


def test_status(tmp_path):
    assert answers(tmp_path, op="status") == [{"ok": True, "status": {"big": "x" * 200_000}}]


def test_ping_streams_a_line_per_request(tmp_path):
    assert answers(tmp_path, op="ping", address="198.18.0.1", count=3, size=56, interval=0.001, timeout=1) == [
        {"ok": True},
        {"seq": 1, "rtt_us": 1, "ttl": 64},
        {"seq": 2, "error": "no answer"},
        {"seq": 3, "rtt_us": 3, "ttl": 64},
        {"done": True},
    ]


def test_connect_relays_both_ways_with_half_close(tmp_path):
    data = os.urandom(1_000_000)
    answer = talk(tmp_path, b'{"op": "connect", "address": "198.18.0.1", "port": 7}', data)
    assert answer == b'{"ok": true}\n' + data


def test_what_the_stack_raises_is_told(tmp_path):
    assert answers(tmp_path, op="connect", address="198.18.0.1", port=1) == [
        {"ok": False, "error": "connection refused"}
    ]


@pytest.mark.parametrize(
    "request_line",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        b'{"op": "reboot"}',
        b'{"op": ["status"]}',
        b"\xff\xfe",
        b'"' + b"x" * 100_000,
        b'{"op": "ping"}',
        b'{"op": "ping", "address": "1.2.3", "count": 1, "size": 1, "interval": 1, "timeout": 1}',
        b'{"op": "ping", "address": "1.2.3.4", "count": 0, "size": 1, "interval": 1, "timeout": 1}',
        b'{"op": "ping", "address": "1.2.3.4", "count": 1, "size": 1, "interval": NaN, "timeout": 1}',
        b'{"op": "connect", "address": "1.2.3.4", "port": 0}',
        b'{"op": "connect", "address": null, "port": 1}',
        b'{"op": "connect", "address": "1.2.3.4", "port": {}}',
        b"[" * 10_000,
    ],
)
def test_bad_requests_get_a_sentence(tmp_path, request_line):
    answer = json.loads(talk(tmp_path, request_line))
    assert answer["ok"] is False
    assert answer["error"]


def test_other_users_are_turned_away(tmp_path):
    ours = os.getuid()
    assert json.loads(talk(tmp_path, b'{"op": "status"}', owners=frozenset({ours})))["ok"]
    assert json.loads(talk(tmp_path, b'{"op": "status"}', owners=frozenset({ours + 1}))) == {
        "ok": False,
        "error": "not your daemon",
    }


def test_second_daemon_on_the_same_socket_is_refused(tmp_path):
    with listen(tmp_path), pytest.raises(AddressInUse, match=r"another tapstack daemon .* --control PATH"):
        listen(tmp_path)


def test_socket_of_a_daemon_that_died_is_replaced(tmp_path):
    listen(tmp_path).close()
    with listen(tmp_path):
        pass


def test_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(StackError, match="control socket"):
        listen(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"count": float("inf")}, "bad request: count is not a number"),
        ({"count": 10**400}, "bad request: count is not a number"),
        ({"timeout": None}, "bad request: timeout is not a number"),
        ({"address": ...}, "bad request: address is missing"),
        ({"size": ...}, "bad request: size is missing"),
    ],
)
def test_bad_numbers_are_named(tmp_path, change, says):
    request = {"op": "ping", "address": "1.2.3.4", "count": 1, "size": 1, "interval": 1, "timeout": 1, **change}
    request = {name: value for name, value in request.items() if value is not ...}
    assert answers(tmp_path, **request) == [{"ok": False, "error": says}]


def test_what_cannot_be_asked_is_a_sentence_without_numbers(tmp_path):
    request = {"op": "ping", "address": "9.9.9.9", "count": 1, "size": 1, "interval": 1, "timeout": 1}
    assert answers(tmp_path, **request)[1:] == [{"ok": False, "error": "bad request: no place for echo requests"}]


def test_where_processes_attach_has_a_sentence_of_its_own(tmp_path):
    with pytest.raises(StackError, match=r"^\[Errno .*\] socket for attached processes /.*/attach: no such file"):
        control.listen(
            tmp_path / "none" / "attach", os.getuid(), os.getgid(), own_folder=False, kind=socket.SOCK_SEQPACKET
        )


def test_one_client_too_many_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(control, "MAX_CLIENTS", 0)
    assert answers(tmp_path, op="status") == [{"ok": False, "error": "the daemon has too many clients"}]


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, app.loop_factory()])
def test_client_that_goes_away_is_no_news(tmp_path, caplog, loop_factory):
    async def scenario():
        server = ControlServer(Actor())
        await server.start(listen(tmp_path))
        for after in (b"", b'{"op": "status"}\n', b'{"op": "connect", "address": "198.18.0.1", "port": 1}\n'):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(os.fspath(path_in(tmp_path)))
                client.sendall(after)
        probe = await asyncio.open_unix_connection(path_in(tmp_path))
        probe[1].write(b'{"op": "status"}\n')
        answer = json.loads(await probe[0].read())
        probe[1].close()
        await server.stop()
        return answer

    path_in(tmp_path).parent.parent.mkdir(exist_ok=True)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(asyncio.wait_for(scenario(), 20))["ok"]
    assert not caplog.records
