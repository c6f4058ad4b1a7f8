"""What callers see, in one sentence; sets of records as values."""

import errno

import pytest

from stack import dns
from stack.dns import rdata
from stack.dns.constants import class_text, ede_text, opcode_text
from stack.errors import StackError

WWW = dns.Name.parse("www.example.test")
ASKED = dns.Question(WWW, dns.RRType.AAAA)
TRIES = [dns.Try("10.0.0.1", "no answer within 376 ms"), dns.Try("10.0.0.2", "REFUSED")]


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (dns.NXDOMAIN, errno.ENOENT, "www.example.test. does not exist"),
        (dns.NoData, errno.ENODATA, "www.example.test. has no AAAA record"),
        (dns.ServFail, errno.EIO, "no server could answer www.example.test. AAAA"),
        (dns.Timeout, errno.ETIMEDOUT, "no answer to www.example.test. AAAA came in time"),
        (dns.Bogus, errno.EBADMSG, "the answer to www.example.test. AAAA is not to be trusted"),
    ],
)
def test_errors_are_those_of_the_system_and_say_what_was_asked(error, code, sentence):
    bare = error(ASKED)
    assert bare.strerror == sentence
    assert bare.errno == code
    assert isinstance(bare, dns.DnsError)
    assert isinstance(bare, StackError)
    assert isinstance(bare, OSError)
    assert (bare.question, bare.tries, bare.ede) == (ASKED, (), None)
    told = error(ASKED, TRIES, ede=dns.Ede(22, "all of them"))
    assert told.tries == tuple(TRIES)
    assert told.strerror.startswith(sentence)
    assert "10.0.0.1: no answer within 376 ms" in told.strerror
    assert "no reachable authority (all of them)" in told.strerror


def test_the_sentence_says_what_each_server_did_last():
    tries = [dns.Try(f"10.0.0.{n}", "REFUSED") for n in range(9)]
    tries += [dns.Try("10.0.0.4", "SERVFAIL"), dns.Try("10.0.0.8", "no answer within 376 ms")]
    assert str(dns.ServFail(ASKED, tries)).endswith(
        "(3 more servers; 10.0.0.3: REFUSED; 10.0.0.5: REFUSED; 10.0.0.6: REFUSED; 10.0.0.7: REFUSED; "
        "10.0.0.4: SERVFAIL (the last of 2 tries); 10.0.0.8: no answer within 376 ms (the last of 2 tries))"
    )


def test_only_a_timeout_is_a_timeout():
    assert issubclass(dns.Timeout, TimeoutError)
    assert not issubclass(dns.ServFail, TimeoutError)


def test_numbers_without_a_name():
    assert (class_text(7), opcode_text(15), ede_text(4711)) == ("CLASS7", "OPCODE15", "EDE4711")
    assert str(dns.Question(WWW, 65280, 7)) == "www.example.test. CLASS7 TYPE65280"


def test_public_names_are_there():
    for name in dns.__all__:
        assert getattr(dns, name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = dns.nothing


class TestRRset:
    made = dns.RRset.of(WWW, 300, [rdata.A("192.0.2.1"), rdata.A("192.0.2.2"), rdata.A("192.0.2.1")])

    def test_each_record_is_in_it_once(self):
        assert [str(data) for data in self.made.rdatas] == ["192.0.2.1", "192.0.2.2"]
        assert len(self.made) == 2

    def test_it_is_compared_by_value(self):
        upper = dns.Name.parse("WWW.example.test")
        assert self.made == dns.RRset.of(upper, 300, [rdata.A("192.0.2.2"), rdata.A("192.0.2.1")])
        assert self.made != self.made.with_ttl(299)
        assert self.made != self.made.with_name(WWW.parent())
        assert self.made != dns.RRset.of(WWW, 300, [rdata.A("192.0.2.1")])
        assert self.made != "another thing"

    def test_copies_have_the_same_data(self):
        copy = self.made.with_ttl(5).with_name(WWW.parent())
        assert (str(copy.name), copy.ttl) == ("example.test.", 5)
        assert copy.rdatas == self.made.rdatas
        assert (str(self.made.name), self.made.ttl) == ("www.example.test.", 300)

    def test_names_are_those_of_types_that_are_one(self):
        servers = dns.RRset.of(WWW.parent(), 1, [rdata.NS(WWW)])
        assert servers.names == [WWW]
        assert all(isinstance(name, dns.Name) for name in servers.names)
        assert servers.type_covered == 0

    def test_what_it_looks_like(self):
        assert repr(self.made) == "<RRset www.example.test. 300 IN A: 192.0.2.1, 192.0.2.2>"
        message = dns.Message.query(WWW, dns.RRType.A, id=3)
        assert repr(message) == "<Message 3 www.example.test. IN A: NOERROR [rd]>"
        assert repr(dns.Message(rcode=3)) == "<Message 0 no question: NXDOMAIN []>"
