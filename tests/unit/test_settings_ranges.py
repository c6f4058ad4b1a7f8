"""Settings that cannot work are refused where they are given, in a sentence that says what would do."""

import copy
import pickle
import random
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from stack.config import _HOST_RANGES, _IP_RANGES, _TCP_CHOICES, _TCP_RANGES, HostConfig, IpConfig, TcpConfig
from stack.errors import ConfigError
from stack.host.host import Host


def changed(settings: Any, name: str, value: object) -> Any:
    return replace(settings, **{name: value})


def host(config: HostConfig) -> Host:
    return Host(config, random.Random(1))


def test_every_number_has_its_range():
    for ranges, cls in ((_TCP_RANGES, TcpConfig), (_IP_RANGES, IpConfig), (_HOST_RANGES, HostConfig)):
        numbers = {f.name for f in fields(cls) if f.type is int or f.type == "int"}
        assert numbers == set(ranges)


@pytest.mark.parametrize("name", _TCP_RANGES)
def test_a_tcp_setting_out_of_range_is_refused_by_name(name: str):
    low, high, _ = _TCP_RANGES[name]
    for value in (low - 1, high + 1):
        with pytest.raises(ConfigError, match=name):
            host(HostConfig(tcp=changed(TcpConfig(), name, value)))
    with pytest.raises((ConfigError, TypeError), match=rf"{name}|int object expected"):  # compiled: by the constructor
        host(HostConfig(tcp=changed(TcpConfig(), name, None)))


@pytest.mark.parametrize("name", _TCP_CHOICES)
def test_a_tcp_choice_that_is_not_known_is_refused_by_name(name: str):
    for value in _TCP_CHOICES[name]:
        host(HostConfig(tcp=changed(TcpConfig(), name, value)))
    for value in ("", "no such"):
        with pytest.raises(ConfigError, match=rf"{name}.*{_TCP_CHOICES[name][0]}"):
            host(HostConfig(tcp=changed(TcpConfig(), name, value)))


@pytest.mark.parametrize("name", _IP_RANGES)
def test_an_ip_setting_out_of_range_is_refused_by_name(name: str):
    low, high, _ = _IP_RANGES[name]
    for value in (low - 1, high + 1):
        with pytest.raises(ConfigError, match=name):
            host(HostConfig(ip=changed(IpConfig(), name, value)))


@pytest.mark.parametrize("name", _HOST_RANGES)
def test_a_setting_of_the_host_out_of_range_is_refused_by_name(name: str):
    low, high, _ = _HOST_RANGES[name]
    for value in (low - 1, high + 1):
        with pytest.raises(ConfigError, match=name):
            host(changed(HostConfig(), name, value))


def test_an_unknown_algorithm_is_refused_before_anybody_connects():
    with pytest.raises(ConfigError, match="cubic, fixed, newreno"):
        host(HostConfig(tcp=TcpConfig(congestion="vegas")))
    good = host(HostConfig())
    with pytest.raises(ConfigError, match="not known"):
        good.listen(0, 80, config=TcpConfig(congestion="vegas"))
    with pytest.raises(ConfigError, match="dscp"):
        good.listen(0, 80, config=TcpConfig(dscp=99))
    good.listen(0, 80, config=TcpConfig(congestion="newreno"))


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda config: pickle.loads(pickle.dumps(config))])
def test_settings_can_be_copied_and_cannot_be_changed(again: Callable[[HostConfig], HostConfig]):
    config = HostConfig(tcp=TcpConfig(nodelay=True), ip=IpConfig(ttl=9))
    assert again(config) == config
    assert again(config).tcp == config.tcp != TcpConfig()
    with pytest.raises(FrozenInstanceError):
        config.tcp.nodelay = False  # type: ignore[misc]
