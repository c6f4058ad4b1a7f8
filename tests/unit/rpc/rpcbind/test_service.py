"""The procedures of rpcbind: octets in, octets out, on the dispatcher alone."""

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stack.rpc.constants import AuthStat, Status
from stack.rpc.dispatch import LOCAL, TCP, UDP, Dispatcher, Invocation, Served
from stack.rpc.errors import RpcError
from stack.rpc.message import NO_AUTH, parse_reply
from stack.rpc.rpcbind import protocol
from stack.rpc.rpcbind.address import IPPROTO_TCP, IPPROTO_UDP
from stack.rpc.rpcbind.protocol import PMAP_V2, RPCB_V3, RPCB_V4, pmap_mapping, rpcb, rpcb_netbuf
from stack.rpc.rpcbind.registry import RPCBIND, Mapping, Registry, Want
from stack.rpc.rpcbind.service import Desk, linked
from stack.rpc.x.compile import generate
from stack.rpc.xdr import Limits
from tests.support.rfc import rfc

OURS, FAR, NEAR6 = "198.18.0.2", "198.18.0.1", "2001:db8::2"
P = 536873369
INTERFACES = {2: PMAP_V2, 3: RPCB_V3, 4: RPCB_V4}
NUMBERS = {
    (version, procedure.name.partition("_")[2]): procedure
    for version, interface in INTERFACES.items()
    for procedure in interface.procedures.values()
}


class Rpcbind:
    """One, and everybody who asks it."""

    def __init__(self):
        own = {"tcp": "0.0.0.0.0.111", "udp": "0.0.0.0.0.111"}
        self.desk = Desk(
            Registry(own),
            is_local=lambda host: host in {OURS, "127.0.0.1"},
            local_for=lambda host: OURS if "." in host else "",
            clock=lambda: 1_700_000_000.9,
        )
        self.registry = self.desk.registry
        self.dispatcher = Dispatcher(Limits())
        for service in self.desk.services():
            for interface in service.interfaces():
                served = [
                    Served(procedure, handler)
                    for number, procedure in interface.procedures.items()
                    if (handler := service.handler(interface, number)) is not None
                ]
                self.dispatcher.add(interface.program, interface.version, served)

    def exchange(self, data, host=OURS, carrier=TCP):
        """The reply to these octets, or None."""
        given_ = self.dispatcher.receive(data, (host, 999), carrier, 0)
        if not isinstance(given_, Invocation):
            return given_
        try:
            running = given_.handler(given_, *given_.args)
            with pytest.raises(StopIteration) as done:
                running.send(None)
        except RpcError as error:
            return self.dispatcher.fail(given_, error, 0)
        return self.dispatcher.complete(given_, done.value.value, 0)

    def call(self, version, name, *args, host=OURS, carrier=TCP):
        """The result of a procedure, or why there is none."""
        procedure = NUMBERS[version, name]
        data = call(version, procedure.number, procedure.encode_args(args))
        reply = self.exchange(data, host, carrier)
        if reply is None:
            return None
        head = parse_reply(reply)
        if head.status is not Status.SUCCESS and head.status != Status.SUCCESS:
            return AuthStat(head.auth_stat) if head.status == Status.AUTH_ERROR else Status(head.status)
        return procedure.decode_result(reply, head.results_offset)


def call(version, procedure, args=b"", program=RPCBIND):
    return struct.pack("!6I", 7, 0, 2, program, version, procedure) + NO_AUTH * 2 + args


def unlinked(node, name="map"):
    found = []
    while node is not None:
        found.append(getattr(node, name))
        node = node.next
    return found


@pytest.fixture
def rpcbind():
    return Rpcbind()


def filled():
    made = Rpcbind()
    for version in (1, 2):
        assert made.call(2, "SET", pmap_mapping(P, version, IPPROTO_UDP, 2049))
        assert made.call(4, "SET", rpcb(P, version, "tcp", f"{OURS}.8.1", "me"))
    return made


def test_the_module_is_what_the_file_says():
    source = Path(protocol.__file__).with_name("rpcbind.x")
    assert Path(protocol.__file__).read_text() == generate(source.read_text(), str(source))


@rfc("1833", "3.2", "R-BIND-PORT")
def test_ports():
    made = filled()
    for host, carrier in ((OURS, TCP), (FAR, UDP), (FAR, TCP)):
        for protocol_ in (IPPROTO_TCP, IPPROTO_UDP):
            asked = pmap_mapping(P, 1, protocol_, 0)
            assert made.call(2, "GETPORT", asked, host=host, carrier=carrier) == 2049
    assert made.call(2, "GETPORT", pmap_mapping(P, 9, IPPROTO_UDP, 0)) == 2049  # its server says which versions it has
    assert made.call(2, "GETPORT", pmap_mapping(P + 1, 1, IPPROTO_UDP, 0)) == 0
    assert made.call(2, "GETPORT", pmap_mapping(P, 1, 99, 0)) == 0
    assert made.call(2, "GETPORT", pmap_mapping(RPCBIND, 2, IPPROTO_UDP, 0)) == 111


@pytest.mark.parametrize("version", [3, 4])
@rfc("1833", "2.2.1", "R-BIND-ADDRESS")
def test_addresses_are_of_the_transport_by_which_one_asks(version):
    made = filled()
    made.registry.set(Mapping(P, 1, "tcp6", "::.8.2", "me"))
    made.registry.set(Mapping(P, 1, "local", "/run/calc", "me"))
    asked = rpcb(P, 1, "tcp6", "", "")  # this netid is ignored
    assert made.call(version, "GETADDR", asked, host=FAR, carrier=UDP) == f"{OURS}.8.1"
    assert made.call(version, "GETADDR", asked, host=FAR, carrier=TCP) == f"{OURS}.8.1"
    assert made.call(version, "GETADDR", asked, host=NEAR6, carrier=TCP) == "::.8.2"
    assert made.call(version, "GETADDR", asked, host=NEAR6, carrier=UDP) == ""
    assert made.call(version, "GETADDR", asked, host="", carrier=LOCAL) == "/run/calc"
    assert made.call(version, "GETADDR", rpcb(P, 9, "", "", "")) == f"{OURS}.8.1"


@rfc("1833", "2.2.2", "R-BIND-VERSION")
def test_just_this_version():
    made = filled()
    assert made.call(4, "GETVERSADDR", rpcb(P, 2, "", "", "")) == f"{OURS}.8.1"
    assert made.call(4, "GETVERSADDR", rpcb(P, 3, "", "", "")) == ""


@rfc("1833", "2.2.1", "R-BIND-DUMP")
def test_all_versions_list_the_same():
    made = filled()
    ports = [(m.prog, m.vers, m.prot, m.port) for m in unlinked(made.call(2, "DUMP", host=FAR))]
    assert ports[:3] == [(RPCBIND, version, IPPROTO_TCP, 111) for version in (4, 3, 2)]
    assert sorted(ports[6:]) == [(P, v, p, 2049) for v in (1, 2) for p in (IPPROTO_TCP, IPPROTO_UDP)]
    for version in (3, 4):
        listed = unlinked(made.call(version, "DUMP", host=FAR))
        assert len(listed) == len(ports)
        assert listed[0] == rpcb(RPCBIND, 4, "tcp", "0.0.0.0.0.111", "superuser")
        assert {one.owner for one in listed[6:]} == {"unknown"}  # what the caller says counts for nothing


def test_version_2_knows_ports_only():
    made = filled()
    made.registry.set(Mapping(P, 1, "local", "/run/calc", "me"))
    assert len(unlinked(made.call(3, "DUMP"))) == len(unlinked(made.call(2, "DUMP"))) + 1


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("carrier", [UDP, TCP])
def test_only_this_host_changes_anything(version, carrier):
    made = filled()
    args = pmap_mapping(P, 1, IPPROTO_UDP, 2050) if version == 2 else rpcb(P, 7, "udp", f"{FAR}.8.2", "")
    before = list(made.registry)
    for name in ("SET", "UNSET"):
        assert made.call(version, name, args, host=FAR, carrier=carrier) is AuthStat.TOOWEAK
    assert list(made.registry) == before
    assert made.registry.denied == {Want.CHANGE: 2}
    assert made.call(version, "UNSET", args, carrier=carrier) == (version == 2)


@rfc("1833", "3.2", "R-BIND-SET")
def test_a_mapping_is_not_overwritten():
    made = filled()
    assert made.call(2, "SET", pmap_mapping(P, 1, IPPROTO_UDP, 2049)) is True
    assert made.call(2, "SET", pmap_mapping(P, 1, IPPROTO_UDP, 2050)) is False
    assert made.call(3, "SET", rpcb(P, 1, "udp", f"{OURS}.8.9", "")) is False
    assert made.call(2, "SET", pmap_mapping(P, 3, 99, 2050)) is False
    assert made.call(2, "SET", pmap_mapping(P, 3, IPPROTO_UDP, 0)) is False
    assert made.call(2, "SET", pmap_mapping(P, 3, IPPROTO_UDP, 70_000)) is False
    assert made.call(4, "SET", rpcb(P, 3, "udp", "nonsense", "")) is False


@rfc("1833", "3.2", "R-BIND-UNSET")
@rfc("1833", "2.2.1", "R-BIND-UNSET-ALL")
def test_version_2_takes_away_both_transports():
    made = filled()
    assert made.call(2, "UNSET", pmap_mapping(P, 1, 0, 0)) is True
    assert made.registry.everywhere(P, 1) == []
    assert len(made.registry.everywhere(P, 2)) == 2
    assert made.call(2, "UNSET", pmap_mapping(P, 1, 0, 0)) is False
    assert made.call(3, "UNSET", rpcb(P, 2, "udp", "", "")) is True
    assert [one.netid for one in made.registry.everywhere(P, 2)] == ["tcp"]


def test_what_the_program_itself_registered_stays():
    made = filled()
    made.registry.set(Mapping(P, 5, "udp", f"{OURS}.8.1", "server of this process"))
    assert made.call(4, "UNSET", rpcb(P, 5, "", "", "server of this process")) is False
    assert made.registry.find(P, 5, "udp", exact=True) is not None


@pytest.mark.parametrize(("version", "name"), [(2, "DUMP"), (3, "DUMP"), (4, "DUMP"), (4, "GETSTAT")])
def test_lists_do_not_go_out_by_datagram(version, name):
    made = filled()
    assert made.call(version, name, host=FAR, carrier=UDP) is Status.PROC_UNAVAIL
    assert made.registry.denied == {Want.LIST: 1}
    assert made.call(version, name, host=OURS, carrier=UDP)
    assert made.call(version, name, host=FAR, carrier=TCP)


@rfc("1833", "2.2.2", "R-BIND-LIST")
def test_the_addresses_of_a_family():
    made = filled()
    made.registry.set(Mapping(P, 1, "tcp6", "::1.8.2", "me"))
    listed = unlinked(made.call(4, "GETADDRLIST", rpcb(P, 1, "", "", ""), host=FAR), "entry")
    assert [(one.netid, one.maddr, one.semantics, one.protofmly, one.proto) for one in listed] == [
        ("udp", f"{OURS}.8.1", 1, "inet", "udp"),
        ("tcp", f"{OURS}.8.1", 3, "inet", "tcp"),
    ]
    assert made.call(4, "GETADDRLIST", rpcb(P, 9, "", "", "")) is None
    assert made.call(4, "GETADDRLIST", rpcb(P, 1, "", "", ""), host=FAR, carrier=UDP) is Status.PROC_UNAVAIL


@rfc("1833", "3.2", "R-BIND-CALLIT")
def test_calls_are_not_passed_on(rpcbind):
    args = protocol.rpcb_call(RPCBIND, 4, 4, b"")
    for host in (OURS, FAR):
        assert rpcbind.call(2, "CALLIT", protocol.pmap_call(RPCBIND, 2, 4, b""), host=host, carrier=UDP) is None
        assert rpcbind.call(3, "CALLIT", args, host=host, carrier=UDP) is None
        assert rpcbind.call(4, "BCAST", args, host=host, carrier=UDP) is None
        assert rpcbind.call(4, "INDIRECT", args, host=host) is Status.PROC_UNAVAIL
    assert rpcbind.registry.denied == {Want.FORWARD: 8}


@pytest.mark.parametrize("version", [3, 4])
def test_small_things(rpcbind, version):
    assert rpcbind.call(version, "GETTIME", host=FAR, carrier=UDP) == 1_700_000_000
    packed = rpcbind.call(version, "UADDR2TADDR", f"{FAR}.0.111")
    assert packed.maxlen == len(packed.buf) == 16
    assert rpcbind.call(version, "TADDR2UADDR", packed) == f"{FAR}.0.111"
    assert rpcbind.call(version, "UADDR2TADDR", "nonsense") == rpcb_netbuf(0, b"")
    assert rpcbind.call(version, "TADDR2UADDR", rpcb_netbuf(0, b"")) == ""


def test_statistics():
    made = filled()
    made.call(2, "GETPORT", pmap_mapping(P, 1, IPPROTO_UDP, 0))
    made.call(3, "GETADDR", rpcb(P, 1, "", "", ""))
    made.call(3, "GETADDR", rpcb(P + 1, 1, "", "", ""))
    by_version = made.call(4, "GETSTAT")
    assert [(one.setinfo, one.unsetinfo, one.info[1], one.info[3], one.info[12]) for one in by_version] == [
        (2, 0, 2, 1, 0),
        (0, 0, 0, 2, 0),
        (2, 0, 2, 0, 1),
    ]
    asked, missing = by_version[1].addrinfo, by_version[1].addrinfo.next
    assert (asked.prog, asked.success, asked.failure, asked.netid) == (P, 1, 0, "tcp")
    assert (missing.prog, missing.success, missing.failure) == (P + 1, 0, 1)
    assert missing.next is None


def test_another_version_of_rpcbind(rpcbind):
    head = parse_reply(rpcbind.exchange(call(5, 0)))
    assert (head.status, head.low, head.high) == (Status.PROG_MISMATCH, 2, 4)
    assert parse_reply(rpcbind.exchange(call(4, 13))).status == Status.PROC_UNAVAIL


FULL = filled()
FULL.registry.set(Mapping(P, 3, "udp6", "2001:db8:1111:2222:3333:4444:5555:6666.255.255", "me"))
FULL.registry.set(Mapping(P, 3, "tcp", "255.255.255.255.255.255", "me"))
numbers = st.sampled_from([P, RPCBIND, 0])
versions = st.integers(0, 4)
texts = st.text(max_size=8) | st.sampled_from(["udp", "1.2.3.4.5.6", "2001:db8:1111:2222:3333:4444:5555:6666.255.255"])
ADDRESSES = st.one_of(
    st.builds(rpcb_netbuf, st.integers(0, 128), st.binary(max_size=128)),
    st.just(rpcb_netbuf(28, struct.pack("=H", 10) + b"\xff" * 26)),
)
ARGS = {
    "SET": st.builds(rpcb, numbers, versions, texts, texts, texts),
    "CALLIT": st.builds(protocol.rpcb_call, numbers, versions, versions, st.binary(max_size=50)),
    "UADDR2TADDR": texts,
    "TADDR2UADDR": ADDRESSES,
}
ARGS |= dict.fromkeys(("UNSET", "GETADDR", "GETVERSADDR", "GETADDRLIST"), ARGS["SET"])
ARGS |= dict.fromkeys(("BCAST", "INDIRECT"), ARGS["CALLIT"])
PORTS = st.builds(pmap_mapping, numbers, versions, st.sampled_from([0, IPPROTO_TCP, IPPROTO_UDP]), st.integers(0, 9))


@settings(suppress_health_check=[HealthCheck.too_slow])  # the strategies are built while the first is drawn
@given(st.data(), st.sampled_from(sorted(NUMBERS)), st.sampled_from([FAR, NEAR6]))
def test_a_stranger_s_datagram_is_not_made_larger(data, which, host):
    procedure = NUMBERS[which]
    if which == (2, "CALLIT"):
        args = [data.draw(st.builds(protocol.pmap_call, numbers, versions, versions, st.binary(max_size=9)))]
    else:
        args = [data.draw(PORTS if which[0] == 2 else ARGS[which[1]]) for _ in procedure.args]
    sent = call(which[0], procedure.number, procedure.encode_args(args))
    reply = FULL.exchange(sent, host, UDP)
    assert reply is None or len(reply) <= 2 * len(sent)


@pytest.mark.parametrize(
    ("which", "least"), [((2, "DUMP"), 5), ((3, "DUMP"), 8), ((4, "DUMP"), 8), ((4, "GETSTAT"), 5)]
)
def test_lists_would_be_many_times_as_large(which, least):
    """The control: what strangers may not have by datagram, asked for by this host."""
    sent = call(which[0], NUMBERS[which].number)
    assert len(FULL.exchange(sent, OURS, UDP)) > least * len(sent)


@given(st.binary(max_size=120), st.sampled_from(sorted(NUMBERS)), st.sampled_from([UDP, TCP]))
def test_whatever_comes_is_answered_or_dropped(junk, which, carrier):
    FULL.exchange(call(which[0], NUMBERS[which].number, junk), FAR, carrier)
    FULL.registry.check_invariants()
    assert FULL.dispatcher.running == 0


def test_lists_of_any_length_are_made_without_recursion():
    listed = linked(protocol.pmap_node, (pmap_mapping(P, n, 6, 1) for n in range(5000)))
    assert len(unlinked(listed)) == 5000
