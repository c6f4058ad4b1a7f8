"""Changes to a scenario from the command line: `link.loss=0.01`, `flow.bulk.bytes=5MB`, `tcp.congestion=cubic`.

A key is the path in the scenario file.  Where the file has several tables of a kind, the name after it chooses one
(`host.client.tcp.sack`, `link.client-router.rate`); without it the change goes to all of them.
"""

import copy
import tomllib
from collections.abc import Sequence
from typing import Any, Final

from stack.errors import ConfigError
from stack.sim.scenario import PROFILE, TCP_FIELDS, Scenario, ScenarioError
from stack.sim.scenario_toml import from_dict

ARRAYS: Final = ("host", "router", "switch", "link", "event", "flow")
_TCP: Final = ("tcp", "server_tcp")

Change = tuple[str, str]  # key and value, as written


def split(text: str) -> Change:
    """`key=value` in two.  Raises ConfigError."""
    key, equals, value = text.partition("=")
    if not key.strip() or not equals or not value.strip():
        raise ConfigError(f"{text!r}: write KEY=VALUE, such as link.loss=0.01 or tcp.congestion=cubic")
    return key.strip(), value.strip()


def split_many(text: str) -> tuple[str, list[str]]:
    """`key=value,value,...` in its parts.  Raises ConfigError."""
    key, values = split(text)
    several = [value.strip() for value in values.split(",")]
    if not all(several):
        raise ConfigError(f"{text!r}: a value is empty; write KEY=VALUE,VALUE")
    if len(set(several)) < len(several):
        raise ConfigError(f"{text!r}: a value is given twice")
    return key, several


def scenario_with(data: dict[str, Any], changes: Sequence[Change]) -> Scenario:
    """The scenario that the keys of a TOML file say (`data` stays as it is), with `changes`.  Raises ScenarioError."""
    scenario = from_dict(data)
    for key, value in changes:
        data = changed(data, key, value)
        try:
            scenario = from_dict(data)
        except ScenarioError as error:
            raise ScenarioError(error.path, f"{error.text} (from {key}={value})") from None
    return scenario


def changed(data: dict[str, Any], key: str, value: str) -> dict[str, Any]:
    """A copy of the keys with one change; whether that makes sense is for `from_dict` to say."""
    data = copy.deepcopy(data)
    _change(data, key, value)
    return data


def with_setting(data: dict[str, Any], key: str, value: str) -> dict[str, Any]:
    """The keys with one setting everywhere, for a comparison.

    A `key` without a dot is a setting of TCP, or `profile`: it goes to [tcp], and what hosts and flows say about it is
    taken out.
    """
    data = copy.deepcopy(data)
    if "." in key or key in {"seed", "duration"}:
        _change(data, key, value)
        return data
    if key not in TCP_FIELDS and key != PROFILE:
        raise ConfigError(f"TCP has no setting {key!r}; for other keys write the path, such as link.loss")
    taken_out = (PROFILE, "congestion") if key == PROFILE else (key,)  # no machine is itself with another control
    for table in (data, *data.get("host", []), *data.get("flow", [])):
        for name in _TCP:
            for setting in taken_out:
                table.get(name, {}).pop(setting, None)
    _change(data, f"tcp.{key}", value)
    return data


def _change(data: dict[str, Any], key: str, text: str) -> None:
    parts = key.split(".")
    if not all(parts):
        raise ConfigError(f"{key!r}: a name is missing between the dots; write KEY.KEY=VALUE, such as link.loss=0.01")
    value = _value(text)
    if parts[0] not in ARRAYS:
        _put(data, parts, value)
        return
    tables = data.get(parts[0], [])
    if not isinstance(tables, list) or not tables:
        raise ScenarioError((), f"{key}: the scenario has no [[{parts[0]}]]")
    chosen = [table for table in tables if len(parts) > 2 and parts[1] in _names(table)]
    rest = parts[2:] if chosen else parts[1:]
    if not rest:
        raise ScenarioError((), f"{key}: write which key of [[{parts[0]}]], such as {parts[0]}.NAME.KEY")
    for table in chosen or tables:
        _put(table, rest, value)


def _names(table: dict[str, Any]) -> set[str]:
    """What a table is called: its name, or the two ends of a link in either order."""
    between = table.get("between", [])
    return {table.get("name", ""), "-".join(between), "-".join(reversed(between))}


def _put(table: dict[str, Any], path: Sequence[str], value: object) -> None:
    *outer, last = path
    for name in outer:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ScenarioError(tuple(path), f"{name} is no table")
    table[last] = value


def _value(text: str) -> object:
    """As TOML has it where it is a TOML value, else the text itself: `10Mbit/s` needs no quotes."""
    try:
        told = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return told["value"] if len(told) == 1 else text
