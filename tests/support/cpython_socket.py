"""CPython's own tests of the socket module, on `stack.socket`: both ends are hosts of ours on a virtual link.

    python -m tests.support.cpython_socket GROUP

Prints the number of tests that have run, and what failed.
"""

import importlib
import socket
import sys
import unittest

from stack import socket as ours
from tests.support.blocking import PEER, two_hosts

# What tests TCP and UDP over IPv4; other classes are about other families, or the module itself
GROUPS = {
    "files": (
        "FileObjectClassTestCase",
        "UnbufferedFileObjectClassTestCase",
        "LineBufferedFileObjectClassTestCase",
        "SmallBufferedFileObjectClassTestCase",
        "UnicodeReadFileObjectClassTestCase",
        "UnicodeWriteFileObjectClassTestCase",
        "UnicodeReadWriteFileObjectClassTestCase",
        "SendfileUsingSendTest",
        "SendfileUsingSendfileTest",
    ),
    "connections": (
        "NetworkConnectionNoServer",
        "NetworkConnectionAttributesTest",
        "NetworkConnectionBehaviourTest",
        "NonBlockingTCPTests",
        "TCPCloserTest",
    ),
    "data": (
        "BasicTCPTest",
        "BufferIOTest",
        "SendmsgTCPTest",
        "RecvmsgTCPTest",
        "RecvmsgIntoTCPTest",
        "BasicUDPTest",
        "SendmsgUDPTest",
        "RecvmsgUDPTest",
        "RecvmsgIntoUDPTest",
        "UDPTimeoutTest",
        "TCPTimeoutTest",
        "InterruptedRecvTimeoutTest",
        "InterruptedSendTimeoutTest",
    ),
}
SOURCE_PORT = 40_001


def _bind_port(sock: socket.socket, host: str = PEER) -> int:
    sock.bind((host, 0))
    return int(sock.getsockname()[1])


def main(group: str) -> int:
    """Run one group; 0 when nothing failed."""
    theirs = importlib.import_module("test.test_socket")
    socket_helper = importlib.import_module("test.support.socket_helper")
    vars(theirs)["HOST"] = vars(socket_helper)["HOST"] = PEER
    vars(socket_helper).update(bind_port=_bind_port, find_unused_port=lambda *_: SOURCE_PORT)
    suite = unittest.TestSuite()
    for name in GROUPS[group]:
        suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(getattr(theirs, name)))
    with ours.use(two_hosts) as station, ours.patched():
        assert station.host.addresses()
        result = unittest.TextTestRunner(sys.stderr, verbosity=0).run(suite)
        assert station.run(lambda: sum(station.host.host.stats.counts)) > 100  # it was our stack
    print(result.testsRun, len(result.skipped))
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
