import asyncio
import hashlib
import json
import tracemalloc

import pytest

from stack.daemon.services import content, http
from stack.daemon.services.http import HttpConnection, HttpService, Site
from tests.support.memory_transport import MemoryTransport, settle

HOST = b"Host: 198.18.0.2\r\n"


def connect(service=None, **kwargs):
    service = service or HttpService(Site(lambda peer: f"<p>{peer[0]}</p>", max_upload=1000))
    connection = HttpConnection(service)
    return connection, MemoryTransport(connection, **kwargs), service


async def exchange(data, **kwargs):
    connection, transport, _ = connect(**kwargs)
    connection.data_received(data)
    await settle()
    return transport


def ask(data):
    """(status, headers, body) of the only answer to `data`, and the transport."""
    transport = asyncio.run(exchange(data))
    head, _, body = transport.take().partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:]), body, transport


def get(path):
    return ask(b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")


def test_index_is_made_for_the_peer_that_asks():
    status, headers, body, transport = get(b"/")
    assert (status, headers["content-type"], body) == (200, "text/html; charset=utf-8", b"<p>198.18.0.1</p>")
    assert not transport.closed


@pytest.mark.parametrize("length", [0, 1, len(content.BLOCK), len(content.BLOCK) * 40 + 17])
def test_bytes_n_has_exactly_n_bytes_of_the_content(length):
    status, headers, body, _ = get(b"/bytes/%d" % length)
    assert (status, headers["content-length"], len(body)) == (200, str(length), length)
    assert hashlib.sha256(body).hexdigest() == content.sha256(length)


def test_content_is_the_block_over_and_over():
    data = b"".join(content.chunks(3 * len(content.BLOCK) + 5))
    assert all(data[i] == content.BLOCK[i % len(content.BLOCK)] for i in range(0, len(data), 997))


def test_head_has_the_headers_of_get_and_no_body():
    _, of_get, _, _ = get(b"/bytes/1000")
    status, headers, body, transport = ask(b"HEAD /bytes/1000 HTTP/1.1\r\n" + HOST + b"\r\n")
    assert (status, headers, body) == (200, of_get, b"")
    assert not transport.closed


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/x", 404),
        (b"/bytes/", 404),
        (b"/bytes/-1", 404),
        (b"/bytes/1e3", 404),
        (b"/bytes/" + b"9" * 30, 404),
        (b"/bytes/%d" % (http.MAX_BYTES + 1), 404),
        (b"/upload", 405),
    ],
)
def test_get_of_what_is_not_there(path, status):
    assert get(path)[0] == status


@pytest.mark.parametrize(
    ("request_line", "status", "allow"),
    [
        (b"DELETE / HTTP/1.1\r\n", 405, "get, head"),
        (b"POST /bytes/1 HTTP/1.1\r\nContent-Length: 0\r\n", 405, "get, head"),
        (b"DELETE /upload HTTP/1.1\r\n", 405, "put, post"),
    ],
)
def test_other_methods_are_told_what_is_allowed(request_line, status, allow):
    got, headers, _, transport = ask(request_line + HOST + b"\r\n")
    assert (got, headers["allow"], transport.closed) == (status, allow, False)


def test_upload_answers_with_length_and_checksum():
    data = b"x" * 999
    status, headers, body, transport = ask(b"PUT /upload HTTP/1.1\r\n" + HOST + b"Content-Length: 999\r\n\r\n" + data)
    assert (status, headers["content-type"], transport.closed) == (200, "application/json", False)
    assert json.loads(body) == {"bytes": 999, "sha256": hashlib.sha256(data).hexdigest()}


def test_chunked_upload():
    _, _, body, _ = ask(
        b"POST /upload HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    )
    assert json.loads(body)["sha256"] == hashlib.sha256(b"abcdefg").hexdigest()


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 1001\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001 + b"\r\n",
    ],
)
def test_too_large_an_upload_is_refused_before_it_has_come(rest):
    status, headers, _, transport = ask(b"PUT /upload HTTP/1.1\r\n" + HOST + rest)
    assert (status, headers["connection"]) == (413, "close")
    assert transport.eof
    assert not transport.closed  # what still comes is read: a reset would destroy the answer
    transport.protocol.data_received(b"x" * 100_000)
    assert transport.take() == b""
    assert not transport.protocol.eof_received()


def test_absolute_form_of_the_target():
    assert get(b"http://198.18.0.2/bytes/3")[2] == content.BLOCK[:3]
    assert get(b"http://198.18.0.2")[2] == b"<p>198.18.0.1</p>"


def test_expect_100_continue_is_answered_before_the_body():
    async def scenario():
        connection, transport, _ = connect()
        connection.data_received(
            b"PUT /upload HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        first = transport.take()
        connection.data_received(b"abc")
        return first, transport.take()

    first, second = asyncio.run(scenario())
    assert first.startswith(b"HTTP/1.1 100 ")
    assert second.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "garbage", [b"GARBAGE\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\0" * 100 + b"\r\n\r\n"]
)
def test_what_is_not_http_gets_400_and_the_end(garbage):
    status, _, _, transport = ask(garbage)
    assert (status, transport.closed) == (400, True)


def test_endless_header_is_refused():
    status, _, _, transport = ask(b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 20_000)
    assert (status, transport.closed) == (431, True)


def test_pipelined_requests_are_answered_in_order():
    request = b"GET /bytes/%d HTTP/1.1\r\n" + HOST + b"\r\n"

    async def scenario():
        connection, transport, service = connect()
        connection.data_received(b"".join(request % length for length in range(300)))
        while service.requests < 300:
            await settle()
        await settle()
        return transport.take()

    answers = asyncio.run(scenario()).split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert [len(answer.partition(b"\r\n\r\n")[2]) for answer in answers] == list(range(300))


def test_http_1_0_is_closed_after_the_answer():
    status, _, _, transport = ask(b"GET / HTTP/1.0\r\n\r\n")
    assert (status, transport.closed) == (200, True)


def test_body_in_answer_to_a_client_that_half_closed():
    async def scenario():
        connection, transport, _ = connect(full_at=300_000)
        connection.data_received(b"GET /bytes/5000000 HTTP/1.1\r\n" + HOST + b"\r\n")
        keep_open = connection.eof_received()
        while not transport.closed:
            await settle()
            transport.take()
        return keep_open, transport

    keep_open, transport = asyncio.run(scenario())
    assert keep_open
    assert transport.total > 5_000_000


def test_a_client_that_does_not_read_costs_no_memory():
    async def scenario():
        connection, transport, _ = connect(full_at=64 << 10)
        connection.data_received(b"GET /bytes/%d HTTP/1.1\r\n" % (1 << 30) + HOST + b"\r\n")
        await settle()
        assert transport.reading_paused
        return transport.largest

    tracemalloc.start()
    largest = asyncio.run(scenario())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert largest < (64 << 10) + 2 * len(content.BLOCK)
    assert peak < 8 << 20


def test_drain_closes_the_idle_and_lets_the_busy_finish():
    async def scenario():
        _, idle_transport, service = connect()
        busy, busy_transport, _ = connect(service, full_at=64 << 10)
        busy.data_received(b"GET /bytes/1000000 HTTP/1.1\r\n" + HOST + b"\r\n")
        await settle()
        draining = asyncio.create_task(service.drain())
        await settle()
        assert idle_transport.closed
        assert not busy_transport.closed
        body = b""
        while not busy_transport.closed:
            body += busy_transport.take()
            await settle()
        assert not draining.done()
        for transport in (idle_transport, busy_transport):
            transport.protocol.connection_lost(None)
        await draining
        return body + busy_transport.take()

    answer = asyncio.run(scenario())
    assert hashlib.sha256(answer.partition(b"\r\n\r\n")[2]).hexdigest() == content.sha256(1_000_000)


@pytest.mark.parametrize("begun", [b"GET / HT", b"PUT /upload HTTP/1.1\r\nContent-Length: 50\r\n" + HOST + b"\r\n"])
def test_the_head_of_a_request_that_dribbles_does_not_hold_a_connection_and_a_body_does(begun):
    async def scenario():
        connection, transport, service = connect()
        connection.data_received(begun)
        connection.moved_at -= http.IDLE_S + 1
        connection.data_received(b"T")
        service.sweep()
        return transport.aborted

    assert asyncio.run(scenario()) == begun.startswith(b"GET")


def test_a_request_after_a_pause_has_its_own_time():
    async def scenario():
        connection, transport, service = connect()
        connection.data_received(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        connection.moved_at -= http.IDLE_S + 1
        connection.data_received(b"GET / HT")
        service.sweep()
        return transport.aborted

    assert not asyncio.run(scenario())


def test_sweep_resets_only_what_has_not_moved_for_long():
    async def scenario():
        old, old_transport, service = connect()
        _, new_transport, _ = connect(service)
        old.moved_at -= http.IDLE_S + 1
        service.sweep()
        return old_transport.aborted, new_transport.aborted

    assert asyncio.run(scenario()) == (True, False)
