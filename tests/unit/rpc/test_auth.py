"""Credentials, and who may call."""

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.errors import ConfigError
from stack.rpc import auth
from stack.rpc.auth import NOBODY, AuthNone, AuthSys, Credentials, parse_auth_sys
from stack.rpc.constants import AuthStat
from stack.rpc.policy import MAX_KNOWN, allow
from tests.support.rfc import rfc

WORD = st.integers(0, 0xFFFF_FFFF)
HERE, ELSEWHERE, LOCAL = "198.18.0.9", "192.0.2.1", ""


def body_of(credential: AuthSys) -> bytes:
    length = int.from_bytes(credential.wire[4:8], "big")
    return credential.wire[8 : 8 + length]


@rfc("5531", "A", "R-MSG-SYS")
def test_auth_sys_is_laid_out_as_the_rfc_says():
    wire = AuthSys(1000, 100, (4, 24), machine="host5", stamp=7).wire
    body = struct.pack("!2I8s5I", 7, 5, b"host5", 1000, 100, 2, 4, 24)
    assert wire == struct.pack("!2I", 1, len(body)) + body


@given(WORD, WORD, st.lists(WORD, max_size=16), st.binary(max_size=255), WORD)
def test_what_was_built_is_read(uid, gid, gids, machine, stamp):
    credential = AuthSys(uid, gid, gids, machine=machine, stamp=stamp)
    read = parse_auth_sys(body_of(credential))
    assert read == credential
    assert hash(read) == hash(credential)
    assert read is not None
    assert (read.uid, read.gid, read.gids, read.machine, read.stamp) == (uid, gid, tuple(gids), machine, stamp)


def test_what_cannot_be_sent_is_refused_where_it_is_made():
    for arguments, why in (
        ({"gids": range(17)}, "17 groups"),
        ({"machine": "x" * 256}, "256 octets"),
        ({"uid": -1}, "-1 is not"),
        ({"stamp": 1 << 32}, "4294967296 is not"),
    ):
        with pytest.raises(ConfigError, match=why):
            AuthSys(**{"uid": 0, "gid": 0} | arguments)


@rfc("5531", "A", "R-MSG-SYS")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes(19),
        struct.pack("!2I", 0, 256) + bytes(300),
        struct.pack("!2I", 0, 0xFFFF_FFFF) + bytes(12),
        struct.pack("!2I", 0, 4) + bytes(12),
        struct.pack("!5I", 0, 0, 1, 1, 1),
        struct.pack("!5I", 0, 0, 1, 1, 17) + bytes(68),
        struct.pack("!5I", 0, 0, 1, 1, 0xFFFF_FFFF),
        bytes(401),
    ],
)
def test_malformed_bodies_are_no_credentials(body):
    assert parse_auth_sys(body) is None
    assert Credentials().read(1, body) is AuthStat.BADCRED


def test_damaged_bodies_are_read_or_refused():
    rng, good = random.Random(2), body_of(AuthSys(1, 2, (3, 4, 5), machine="machine"))
    read = 0
    for _ in range(5_000):
        body = bytearray(good)
        for _ in range(rng.choice((1, 2, 5))):
            body[rng.randrange(len(body))] = rng.choice((0, 1, 16, 17, 0x7F, 0xFF))
        found = parse_auth_sys(bytes(body[: rng.randrange(len(body) + 1)] if rng.random() < 0.3 else body))
        if found is not None:
            read += 1
            assert parse_auth_sys(body_of(found)) == found
    assert 500 < read < 4_500


@rfc("5531", "10.1", "R-MSG-NONE")
def test_no_credential_has_no_octets_and_may_have_some():
    assert AuthNone().wire == AuthNone().verifier == bytes(8)
    for body in (b"", b"whatever", bytes(400)):
        assert Credentials().read(0, body) is NOBODY


def test_credentials_known_by_sight_are_bounded():
    credentials = Credentials()
    body = body_of(AuthSys(1000, 100))
    assert credentials.read(1, body) is credentials.read(1, body)
    for stamp in range(3 * auth.MAX_KNOWN):
        credentials.read(1, body_of(AuthSys(1, 1, stamp=stamp)))
    assert len(credentials._known) <= auth.MAX_KNOWN
    assert credentials.read(0, b"whatever") is NOBODY
    assert [credentials.read(flavor, b"") for flavor in (2, 3, 6, 7, 99)] == [AuthStat.REJECTEDCRED] * 5
    assert repr(NOBODY) == "AuthNone()"
    assert "uid=1000" in repr(AuthSys(1000, 100))


# -- policies


def test_uids_without_networks_are_refused():
    """They are claims: whoever can send can claim any."""
    for arguments in ({"uids": {0}}, {"gids": {0}}, {"uids": {0}, "gids": {0}}):
        with pytest.raises(ValueError, match="say from which networks"):
            allow(**arguments)


def test_networks_must_be_networks():
    with pytest.raises(ConfigError, match="give a list"):
        allow(networks="198.18.0.0/24")
    with pytest.raises(ConfigError, match="is not a network"):
        allow(networks=["198.18.0.1/24"])


def test_by_network():
    policy = allow(networks=["198.18.0.0/24", "2001:db8::/32"])
    assert policy.check(NOBODY, HERE) is None
    assert policy.check(NOBODY, "2001:db8::7%eth0") is None
    assert policy.check(NOBODY, "::ffff:198.18.0.1") is None
    for address in (ELSEWHERE, LOCAL, "::1", "no address"):
        assert policy.check(NOBODY, address) is AuthStat.TOOWEAK
    assert allow().check(NOBODY, ELSEWHERE) is None
    assert allow(networks=[]).check(NOBODY, HERE) is AuthStat.TOOWEAK


def test_local_callers_have_no_address():
    policy = allow(networks=["local"])
    assert policy.check(NOBODY, LOCAL) is None
    assert policy.check(NOBODY, "127.0.0.1") is AuthStat.TOOWEAK


def test_by_uid_or_gid_within_the_networks():
    policy = allow(uids={1000}, gids={50}, networks=["198.18.0.0/24"])
    good = [AuthSys(1000, 1), AuthSys(1, 50), AuthSys(1, 1, (7, 50))]
    bad = [AuthNone(), AuthSys(1, 1), AuthSys(50, 1000, (1000,)), AuthSys(0, 0)]
    assert [policy.check(credential, HERE) for credential in good] == [None] * 3
    assert [policy.check(credential, HERE) for credential in bad] == [AuthStat.TOOWEAK] * 4
    assert [policy.check(credential, ELSEWHERE) for credential in good] == [AuthStat.TOOWEAK] * 3
    nobody = allow(uids=[], networks=["198.18.0.0/24"])
    assert nobody.check(AuthSys(1000, 1), HERE) is AuthStat.TOOWEAK


def test_addresses_remembered_are_bounded():
    policy = allow(networks=["10.0.0.0/8"])
    for number in range(MAX_KNOWN + 10):
        assert policy.check(NOBODY, f"10.0.{number >> 8}.{number & 255}") is None
    assert len(policy._known) <= MAX_KNOWN
