"""What decoding XDR costs: generated code beside the same values read with xdrlib3, turn by turn in one run.

    python -m tools.bench.rpc_xdr [--json] [--rounds 15]     all cases; status 1 if they are not fast enough
    python -m tools.bench.rpc_xdr CASE tapstack|xdrlib3      one, as JSON with microseconds, for `make bench`

Both make the same values (dataclasses and enums of the same module) of the same octets; xdrlib3 is used as its manual
says, without the limits that the generated code observes.  What is wanted is 3 times its speed: the geometric mean of
all cases.  It is least for many short strings, which cost the same by any means.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import xdrlib3
from rich.console import Console
from rich.table import Table

from stack import rpc
from tools.bench.sides import OURS, Sample, Setting, Side, loopback

THEIRS: Final = "xdrlib3"
FACTOR_WANTED: Final = 3
ROUND_SECONDS: Final = 0.02
TEXT: Final = """
enum kind { NONE = 0, REGULAR = 1, DIRECTORY = 2 };
struct args { kind what; hyper a; hyper b; unsigned flags; bool sync; };
struct moment { unsigned seconds; unsigned fraction; };
struct attributes {
    kind type; unsigned mode; unsigned links; unsigned uid; unsigned gid; unsigned size; unsigned block;
    unsigned device; unsigned blocks; unsigned system; unsigned number; moment atime; moment mtime; moment ctime;
};
union found switch (int status) { case 0: attributes value; default: void; };
typedef int numbers<>;
struct point { double x; double y; };
typedef point points<>;
struct entry { unsigned number; string name<255>; opaque cookie[4]; entry *next; };
struct listing { entry *entries; bool end; };
"""
MADE: Final[Any] = rpc.compile_x(TEXT, name="rpc_xdr")
Unpacker = Any


def read_args(u: Unpacker) -> Any:
    """A struct of five members."""
    return MADE.args(MADE.kind(u.unpack_enum()), u.unpack_hyper(), u.unpack_hyper(), u.unpack_uint(), u.unpack_bool())


def read_moment(u: Unpacker) -> Any:
    """Within attributes."""
    return MADE.moment(u.unpack_uint(), u.unpack_uint())


def read_found(u: Unpacker) -> Any:
    """A union, within it a struct of 17 words."""
    status = u.unpack_int()
    if status:
        return MADE.found(status)
    words = [u.unpack_uint() for _ in range(11)]
    kind = MADE.kind(words[0])
    times = (read_moment(u), read_moment(u), read_moment(u))
    return MADE.found(status, MADE.attributes(kind, *words[1:], *times))


def read_listing(u: Unpacker) -> Any:
    """A linked list of structs with strings."""
    head = last = None
    while u.unpack_bool():
        number, name = u.unpack_uint(), u.unpack_string().decode("utf-8", "surrogateescape")
        entry = MADE.entry(number, name, u.unpack_fopaque(4), None)
        if last is None:
            head = entry
        else:
            last.next = entry
        last = entry
    return MADE.listing(head, u.unpack_bool())


def read_points(u: Unpacker) -> Any:
    """An array of structs."""
    return u.unpack_array(lambda: MADE.point(u.unpack_double(), u.unpack_double()))


def attributes() -> Any:
    """Of a file."""
    moment = MADE.moment(1_700_000_000, 5)
    return MADE.found(0, MADE.attributes(MADE.REGULAR, *range(1000, 1010), moment, moment, moment))


def listing() -> Any:
    """Of a directory with 20 files."""
    entries = None
    for number in range(20):
        entries = MADE.entry(number, f"a file {number}", b"abcd", entries)
    return MADE.listing(entries, True)


CASES: Final[dict[str, tuple[Any, Any, Callable[[Unpacker], Any]]]] = {
    "args": (MADE.xdr_args, MADE.args(MADE.REGULAR, -1, 1 << 40, 7, True), read_args),
    "attributes": (MADE.xdr_found, attributes(), read_found),
    "numbers": (MADE.xdr_numbers, list(range(100)), lambda u: u.unpack_array(u.unpack_int)),
    "points": (MADE.xdr_points, [MADE.point(x, -x) for x in range(20)], read_points),
    "listing": (MADE.xdr_listing, listing(), read_listing),
}


def calls(case: str) -> dict[str, Callable[[], Any]]:
    """How each of both decodes the octets of a case."""
    codec, value, read = CASES[case]
    data = codec.encode(value)
    return {OURS: lambda: codec.decode(data), THEIRS: lambda: read(xdrlib3.Unpacker(data))}


def us_per_call(call: Callable[[], object]) -> float:
    """Mean cost over one round."""
    count, took = 1, 0.0
    while took < ROUND_SECONDS:
        began = time.perf_counter()
        for _ in range(count):
            call()
        took = time.perf_counter() - began
        count *= 2
    return took / (count // 2) * 1e6


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """All cases; ours and theirs alternate, so that a change of the machine's mood meets both."""
    pairs = {case: calls(case) for case in CASES}
    best = {case: dict.fromkeys(pair, math.inf) for case, pair in pairs.items()}
    for _ in range(rounds):
        for case, pair in pairs.items():
            for who, call in pair.items():
                best[case][who] = min(best[case][who], us_per_call(call))
    return best


def factor(costs: dict[str, dict[str, float]]) -> float:
    """How many times as fast ours is, over all cases."""
    return math.exp(sum(math.log(cost[THEIRS] / cost[OURS]) for cost in costs.values()) / len(costs))


def sides(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:
    """Both of them are programs of their own; the server is there as `make bench` wants one."""
    ours, theirs = loopback(stack, folder, setting)
    return [ours, Side(THEIRS, theirs.client, theirs.server, theirs.log)]


def micro(case: str) -> Callable[[Side, Setting], Sample]:
    """Microseconds to decode one case."""

    def one(side: Side, setting: Setting) -> Sample:  # noqa: ARG001  (as all of them)
        sample: Sample = json.loads(side.run(sys.executable, "-m", "tools.bench.rpc_xdr", case, side.name))
        return sample

    return one


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("case", nargs="?", choices=tuple(CASES))
    parser.add_argument("who", nargs="?", choices=(OURS, THEIRS))
    arguments = parser.parse_args()
    if arguments.case and arguments.who:
        call = calls(arguments.case)[arguments.who]
        print(json.dumps({"us_each": min(us_per_call(call) for _ in range(arguments.rounds))}))
        return 0
    costs = measure(arguments.rounds)
    if arguments.json:
        print(json.dumps(costs))
    else:
        table = Table("case", "tapstack µs", "xdrlib3 µs", "factor")
        for case, cost in costs.items():
            table.add_row(case, f"{cost[OURS]:.2f}", f"{cost[THEIRS]:.2f}", f"{cost[THEIRS] / cost[OURS]:.1f}")
        Console().print(table)
    if factor(costs) < FACTOR_WANTED:
        print(f"decoding: {factor(costs):.1f} times as fast as xdrlib3, {FACTOR_WANTED} are wanted", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
