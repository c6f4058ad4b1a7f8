"""Scenarios as TOML files: read with errors that name file, line and key, and written so that they read back equal.

Theory of operation.  `tomllib` gives values but no places, so `_Lines` reads the text a second time, as statements (a
header or `key = value`, over as many lines as it takes to be valid TOML), and notes the line of each path.  Texts with
units become numbers before msgspec sees them, by the name of their key.  An error carries its path; the line is that of
the longest part of the path that has one: `link[1].forward.loss` is found at the line of `forward = { ... }`.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath
from typing import Any, Final, get_args

import msgspec

from stack.sim import units
from stack.sim.scenario import (
    TCP_SIZES,
    BurstLoss,
    Event,
    Flow,
    HostSpec,
    Link,
    Path,
    RouterSpec,
    Scenario,
    ScenarioError,
    SwitchSpec,
    Way,
)

_READERS: Final[dict[str, Callable[[object], object]]] = {
    "duration": units.duration,
    "delay": units.duration,
    "jitter": units.duration,
    "reorder_by": units.duration,
    "target": units.duration,
    "interval": units.duration,
    "at": units.duration,
    "start": units.duration,
    "for": units.duration,
    "stall_for": units.duration,
    "pause": units.duration,
    "rate": units.rate,
    "queue": units.queue,
    "mtu": units.size,
    "bytes": units.size,
    "back": units.size,
    "request": units.size,
    "response": units.size,
    "stall_at": units.size,
    "chunk": units.size,
    "memory": units.size,
    "loss": units.fraction,
    "reorder": units.fraction,
    "duplicate": units.fraction,
    "corrupt": units.fraction,
    "p": units.fraction,
    "r": units.fraction,
    "loss_good": units.fraction,
    "loss_bad": units.fraction,
}
_WRITERS: Final[dict[Callable[[object], object], Callable[[int], str]]] = {
    units.duration: units.format_duration,
    units.rate: units.format_rate,
}
_TABLES: Final = ("tcp", "server_tcp")  # their keys are settings of TCP
_KEYS: Final[dict[str, type[msgspec.Struct]]] = {
    "host": HostSpec,
    "router": RouterSpec,
    "switch": SwitchSpec,
    "link": Link,
    "event": Event,
    "flow": Flow,
    "burst_loss": BurstLoss,
}
_WAYS: Final = ("forward", "backward", "set")
_IN_TOML: Final = {
    "str": "text",
    "int": "a whole number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}
LONGEST: Final = 4 << 20  # characters of a file
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+\Z", re.ASCII)
_WHERE: Final = re.compile(r" - at `(?:key in )?\$([^`]*)`$")
_STEP: Final = re.compile(r"\.([A-Za-z0-9_]+)|\[([0-9]+)\]|\[\.\.\.\]")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `([^`]*)`")
_CHOICE: Final = re.compile(r"Invalid enum value ('.*')\Z", re.DOTALL)


def load(path: FilePath) -> Scenario:
    """The scenario in a file, checked.  Raises ScenarioError, also when the file cannot be read."""
    try:
        with path.open(encoding="utf-8-sig") as file:  # some editors put a mark in front
            text = file.read(LONGEST + 1)  # a device may have no end
    except OSError as exc:
        raise ScenarioError((), (exc.strerror or str(exc)).lower(), str(path)) from exc
    except UnicodeDecodeError:
        raise ScenarioError((), "not a text in UTF-8", str(path)) from None
    if len(text) > LONGEST:
        raise ScenarioError((), f"not a scenario: longer than {LONGEST >> 20} MiB", str(path))
    return loads(text, str(path))


def loads(text: str, file: str = "scenario") -> Scenario:
    """The scenario in a text, checked.  Raises ScenarioError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        found = re.search(r"\(at line (\d+)", str(exc))
        line = int(found[1]) if found else text.count("\n") + 1
        raise ScenarioError((), f"not TOML: {exc}", file, line) from None
    except (ValueError, RecursionError) as exc:  # a number of thousands of digits, thousands of brackets
        raise ScenarioError((), f"not a scenario: {exc}", file) from None
    try:
        return from_dict(data)
    except ScenarioError as exc:
        raise ScenarioError(exc.path, exc.text, file, line_of(text, exc.path)) from None


def from_dict(data: dict[str, Any]) -> Scenario:
    """The scenario that the keys of a TOML file say, checked.  Raises ScenarioError without file and line."""
    try:
        scenario = msgspec.convert(_read(data, ()), Scenario)
    except msgspec.ValidationError as exc:
        raise _told(str(exc)) from None
    scenario.check()
    return scenario


def to_toml(scenario: Scenario) -> str:
    """The text of a file that `loads` takes back to an equal scenario."""
    data: dict[str, Any] = msgspec.to_builtins(scenario)
    lines = [f"{key} = {_text(value, key)}" for key, value in data.items() if not _is_table(value)]
    for key, value in data.items():
        if isinstance(value, dict) and value:
            lines += ["", f"[{key}]", *(f"{k} = {_text(v, '')}" for k, v in value.items())]
        for table in value if _is_table(value) and isinstance(value, list) else ():
            lines += ["", f"[[{key}]]"]
            lines += [f"{k} = {_text(v, '' if key in _TABLES else k)}" for k, v in table.items()]
    return "\n".join(lines) + "\n"


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _text(value: object, key: str) -> str:
    """A value in TOML, on one line."""
    reader = _READERS.get(key)
    if reader in _WRITERS and isinstance(value, int):
        return f'"{_WRITERS[reader](value)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_text(item, "") for item in value) + "]"
    if isinstance(value, dict):
        inner = "" if key in _TABLES else None
        return (
            "{ " + ", ".join(f"{_key(k)} = {_text(v, k if inner is None else inner)}" for k, v in value.items()) + " }"
        )
    return repr(value)


def _key(key: str) -> str:
    return key if _BARE.match(key) else f'"{key}"'


# -- reading


def _read(value: Any, path: Path) -> Any:
    """`value` with the texts that have units turned into numbers."""
    if isinstance(value, dict):
        if path and path[-1] in _TABLES:
            return {key: _read_tcp(item, (*path, key)) for key, item in value.items()}
        return {key: _read_key(key, item, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_read(item, (*path, index)) for index, item in enumerate(value)]
    return value


def _read_key(key: str, value: Any, path: Path) -> Any:
    reader = _READERS.get(key)
    if reader is None or isinstance(value, dict | list):
        return _read(value, path)
    return _with(reader, value, path)


def _read_tcp(value: Any, path: Path) -> Any:
    """A setting of TCP: durations and sizes may be texts."""
    key = str(path[-1])
    if isinstance(value, str) and key.endswith("_us"):
        return _with(units.duration, value, path)
    if isinstance(value, str) and key in TCP_SIZES:
        return _with(units.size, value, path)
    return value


def _with(reader: Callable[[object], object], value: object, path: Path) -> object:
    try:
        return reader(value)
    except ValueError as exc:
        raise ScenarioError(path, str(exc)) from None


def _told(text: str) -> ScenarioError:
    """What msgspec found wrong, as a ScenarioError with its path."""
    path: list[str | int] = []
    if found := _WHERE.search(text):
        text = text[: found.start()]
        path = [int(index) if index else name for name, index in _STEP.findall(found[1]) if index or name]
    if unknown := _UNKNOWN.match(text):
        text = f"there is no key {unknown[1]!r} here{_similar(unknown[1], path)}"
        path.append(unknown[1])
    if wrong := _CHOICE.match(text):
        text = f"{wrong[1]}: use one of {', '.join(_choices(path))}"
    if len(path) == 1 and path[0] in _KEYS and text.endswith("got `object`"):
        text = f"write [[{path[0]}]], with two brackets: there can be several"
    for theirs, ours in _IN_TOML.items():
        text = text.replace(f"`{theirs}`", ours)
    return ScenarioError(tuple(path), text[:1].lower() + text[1:])


def _similar(key: str, path: list[str | int]) -> str:
    """What may have been meant by an unknown key in the table at `path`."""
    names = [one.encode_name for one in _fields(path)]
    close = difflib.get_close_matches(key, names, 1)
    return f"; is {close[0]!r} meant?" if close else ""


def _choices(path: list[str | int]) -> list[str]:
    """The texts that the key at `path` may have."""
    kinds = [one.type for one in _fields(path) if one.encode_name == path[-1]]
    while kinds and not isinstance(kinds[0], str):  # Literal[...], or that with None
        kinds = [inner for kind in kinds for inner in get_args(kind)]
    return kinds


def _fields(path: list[str | int]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The keys of the table at `path`, or that a key at `path` is in."""
    kind = next((str(name) for name in reversed(path) if name in _KEYS or name in _WAYS), "")
    return msgspec.structs.fields(_KEYS.get(kind, Way) if kind else Scenario)


# -- places


def line_of(text: str, path: Path) -> int:
    """The line of `path` in a TOML text, or of the longest part of it that has one; 1 for none."""
    places: dict[Path, int] = {}
    for place, line in _places(text):
        for length in range(1, len(place) + 1):  # [[hots]] is the place of `hots` too
            places.setdefault(place[:length], line)
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return places[path[:length]]
    return 1


def _places(text: str) -> Iterator[tuple[Path, int]]:
    """Path and line of each header and key; the text is valid TOML."""
    base: Path = ()
    counts: dict[tuple[str, ...], int] = {}
    for statement, line in _statements(text):
        if statement.startswith("["):
            array = statement.startswith("[[")
            names = _header(statement)
            if array:
                counts[names] = counts.get(names, -1) + 1
            base = _indexed(names, counts)
            yield base, line
        else:
            names = ()
            node: Any = tomllib.loads(statement)
            while isinstance(node, dict) and len(node) == 1:  # a.b = 1 is {"a": {"b": 1}}, and so is a = {b = 1}
                name = next(iter(node))
                names, node = (*names, name), node[name]
                yield (*base, *names), line


def _statements(text: str) -> Iterator[tuple[str, int]]:
    """Each header or assignment with the line on which it begins."""
    gathered, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if not gathered:
            start = number
        gathered = f"{gathered}\n{line}" if gathered else line.strip()
        try:
            content = tomllib.loads(gathered)
        except tomllib.TOMLDecodeError:
            continue  # goes on in the next line
        if content:
            yield gathered, start
        gathered = ""


def _header(statement: str) -> tuple[str, ...]:
    """The names in `[a.b]` or `[[a.b]]`."""
    node: Any = tomllib.loads(statement)
    names: list[str] = []
    while node:
        if isinstance(node, list):
            node = node[0]
        else:
            name = next(iter(node))
            names.append(name)
            node = node[name]
    return tuple(names)


def _indexed(names: tuple[str, ...], counts: dict[tuple[str, ...], int]) -> Path:
    """The names with the index of each array's current element behind its name."""
    path: list[str | int] = []
    for length, name in enumerate(names, 1):
        path.append(name)
        if names[:length] in counts:
            path.append(counts[names[:length]])
    return tuple(path)
