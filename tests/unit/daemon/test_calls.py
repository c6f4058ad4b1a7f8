"""Requests of `tapstack call` and `tapstack rpcinfo`, as the daemon answers them."""

import asyncio
import base64
import struct

import pytest

import stack.sim
from stack import rpc
from stack.daemon.calls import Calls
from stack.rpc.transports import own_addresses
from tests.support.rpc_ours import programs

P = 536873369


def octets(data):
    return base64.b64encode(data).decode()


def answered(**changes):
    """What comes of a request to a server in a simulated network, of CALC_SLEEP if nothing else is said."""
    found = []

    async def main(net):
        a, b = net.add_hosts("a", "b")
        address = own_addresses(b)[0]
        request = {
            "address": address, "proto": "tcp", "port": 0, "program": P, "version": 1, "procedure": 8,
            "interface": "CALC_V1", "name": "CALC_SLEEP", "args": octets(struct.pack(">I", 100)), "timeout": 1.0,
        }  # fmt: skip
        async with await rpc.rpcbind_server(host=b), await rpc.serve(programs(), host=b, register=True):
            found.append(await Calls(a.stack).answer(request | changes))

    stack.sim.run(main, seed=1)
    return found[0]


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_results_are_octets(proto):
    assert answered(proto=proto) == {"results": octets(struct.pack(">I", 100))}


def test_who_calls():
    who = {"uid": 7, "gid": 8, "gids": [9], "machine": "teapot"}
    results = base64.b64decode(answered(procedure=12, args="", caller=who)["results"])
    assert results == struct.pack(">II8sIIII", 1, 6, b"teapot", 7, 8, 1, 9)


@pytest.mark.parametrize(
    ("changes", "status", "sentence"),
    [
        ({"timeout": 0.05}, "RpcTimeout", "no reply to CALC_SLEEP at 10.0.0.2 in time (0.05"),
        ({"procedure": 99, "name": ""}, "ProcUnavail", "the procedure procedure 99 at 10.0.0.2; it has not run"),
        ({"args": ""}, "GarbageArgs", "cannot decode the arguments of CALC_SLEEP at 10.0.0.2; it has not run"),
        ({"program": 1}, "NotRegistered", "program 1 version 1 over tcp at 10.0.0.2 is not registered; it has not run"),
        ({"port": 9}, "Unreachable", "the server of CALC_V1 at 10.0.0.2 cannot be reached"),
    ],
)
def test_what_fails_is_an_answer(changes, status, sentence):
    answer = answered(**changes)
    assert (answer["results"], answer["status"]) == (None, status)
    assert sentence in answer["error"]
    assert answer["maybe_executed"] == (status == "RpcTimeout")


def test_other_versions_are_told():
    answer = answered(version=9)
    assert (answer["status"], answer["low"], answer["high"]) == ("ProgMismatch", 1, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "srv.test"}, {"proto": "sctp"}, {"program": -1}, {"program": 1 << 32}, {"version": "1"},
        {"procedure": True}, {"port": 65_536}, {"timeout": 0}, {"timeout": float("nan")}, {"timeout": "1"},
        {"args": "no base64!"}, {"caller": 7}, {"caller": {"gids": 7}}, {"caller": {"gids": ["a"]}},
        {"caller": {"gids": [1] * 17}}, {"caller": {"uid": -1}}, {"caller": {"machine": "x" * 256}},
    ],
)  # fmt: skip
def test_what_cannot_be(changes):
    request = {"address": "10.0.0.2", "proto": "tcp", "port": 1, "program": P, "version": 1, "procedure": 8}
    with pytest.raises(ValueError, match=r"."):
        asyncio.run(Calls().answer(request | changes))
