import ipaddress
import subprocess

import pytest

from stack.daemon import hostside
from stack.errors import AddressInUse, DeviceError, StackError

NETWORK = ipaddress.IPv4Network("198.18.0.0/24")
LINKS = '[{"ifname": "eth0", "addr_info": [{"local": "10.0.0.7"}, {"local": "198.18.0.77"}]}, {"ifname": "lo"}]'


@pytest.fixture
def said(monkeypatch):
    """What `ip` prints and its status, instead of the real one."""
    answer = {"out": "[]", "status": 0, "error": ""}
    monkeypatch.setattr(hostside, "find_program", lambda name: f"/sbin/{name}")
    monkeypatch.setattr(
        hostside.subprocess,
        "run",
        lambda *args, **kwargs: subprocess.CompletedProcess(args, answer["status"], answer["out"], answer["error"]),
    )
    return answer


def test_address_in_use_names_the_address_and_the_device(said):
    said["out"] = LINKS
    with pytest.raises(AddressInUse, match=r"198\.18\.0\.77 of 198\.18\.0\.0/24 is in use already on eth0"):
        hostside.check_free("tap0", NETWORK)


def test_our_own_device_and_other_networks_are_no_conflict(said):
    said["out"] = LINKS
    hostside.check_free("eth0", NETWORK)
    hostside.check_free("tap0", ipaddress.IPv4Network("198.18.1.0/24"))


def test_failing_program_is_one_sentence(said):
    said.update(status=2, error="RTNETLINK answers: Operation not permitted\nmore\n")
    with pytest.raises(DeviceError) as caught:
        hostside.check_free("tap0", NETWORK)
    assert caught.value.strerror.endswith("failed: RTNETLINK answers: Operation not permitted")


def test_missing_program_is_named():
    with pytest.raises(StackError, match="'no-such-program' is missing"):
        hostside.find_program("no-such-program")


def test_table_names_are_words_and_differ_where_devices_do():
    names = {hostside.table_name(device) for device in ("tap0", "tap-0", "tap.0", "tap_0", "tap_2d_0")}
    assert len(names) == 5
    assert all(name.replace("_", "").isalnum() for name in names)
