"""The files that a resolver of the system goes by: changes, mistakes, and what it does without them."""

import asyncio
import dataclasses
import os
import socket

import pytest

from stack.dns import NXDOMAIN, Resolver, ResolverConfig
from tests.support.dns_zone_server import Served, Zone


def test_files_are_read_again_when_they_have_changed(tmp_path):
    async def main():
        async with (
            Served(Zone("a.test A 10.0.0.1", "short.example.test A 10.0.0.9"), "127.0.0.1", 0) as one,
            Served(Zone("a.test A 10.0.0.2"), "127.0.0.2", one.port),
        ):
            conf, hosts = tmp_path / "resolv.conf", tmp_path / "hosts"
            conf.write_text("nameserver 127.0.0.1\nsearch example.test\n")
            hosts.write_text("10.0.0.7 by.hand\n")
            async with Resolver.system(resolv_conf=str(conf), hosts=str(hosts), config=ResolverConfig()) as r:
                r._files = _OnPort(r._files, one.port)
                r._config = r._files.config
                assert await r.addresses("a.test", family=socket.AF_INET) == ["10.0.0.1"]
                assert await r.addresses("by.hand", family=socket.AF_INET) == ["10.0.0.7"]
                assert await r.reverse("10.0.0.7") == "by.hand"
                assert await r.addresses("short", family=socket.AF_INET) == ["10.0.0.9"]
                with pytest.raises(NXDOMAIN):
                    await r.query("short.")
                conf.write_text("nameserver 127.0.0.2\n")
                hosts.unlink()
                r._files.files._look_at = 0  # some time has passed
                assert await r.addresses("a.test", family=socket.AF_INET) == ["10.0.0.2"]
                with pytest.raises(NXDOMAIN):
                    await r.query("by.hand")

    asyncio.run(main())


class _OnPort:
    """SystemFiles whose servers are not on port 53, which takes root."""

    def __init__(self, files, port):
        self.files = files
        self.port = port

    @property
    def config(self):
        config = self.files.config
        return dataclasses.replace(config, servers=tuple((address, self.port) for address, _ in config.servers))

    @property
    def warnings(self):
        return self.files.warnings

    def look(self, now):
        return self.files.look(now)


def test_mistakes_in_resolv_conf_can_be_seen(tmp_path, caplog):
    async def main():
        conf = tmp_path / "resolv.conf"
        conf.write_text("nameserver 127.0.0.1\nnameserver banana\noptions ndots:xx\n")
        async with Resolver.system(resolv_conf=str(conf), hosts=str(tmp_path / "none")) as r:
            expected = (
                f"{conf}:2: passed over: 'banana' is not an address in figures",
                f"{conf}:3: option 'ndots:xx' is passed over: write ndots:NUMBER",
            )
            assert r.warnings == expected
            assert caplog.messages == []
            for _ in range(3):  # said when it begins, and no more
                assert await r.addresses("localhost", family=socket.AF_INET) == ["127.0.0.1"]
            assert tuple(caplog.messages) == expected
            caplog.clear()
            conf.write_text("nameserver 127.0.0.1\nnamserver 10.0.0.1\n")
            r._files._look_at = 0  # some time has passed
            await r.addresses("localhost", family=socket.AF_INET)
            assert r.warnings == (f"{conf}:2: passed over: 'namserver' is not nameserver, search, domain or options",)
            assert tuple(caplog.messages) == r.warnings
        assert Resolver(servers=["127.0.0.1"]).warnings == ()

    asyncio.run(main())


def test_a_file_that_is_there_and_cannot_be_read_can_be_seen(tmp_path):
    made = Resolver.system(resolv_conf=str(tmp_path), hosts=str(tmp_path / "none"))
    assert made.warnings == (f"{tmp_path}: cannot be read: is a directory",)


def test_without_files_there_are_defaults(tmp_path):
    made = Resolver.system(resolv_conf=str(tmp_path / "none"), hosts=str(tmp_path / "nothing"))
    assert made._config.servers == (("127.0.0.1", 53),)
    assert made._config.hosts == {}


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    made = Resolver.system(resolv_conf=str(tmp_path / "pipe"), hosts=os.devnull)
    assert made.warnings == (f"{tmp_path / 'pipe'}: cannot be read: it is no regular file",)
