"""`tapstack call` and `tapstack rpcinfo`: what is asked of the daemon, what is shown, what is said when it fails."""

import base64
import json
import struct

import pytest
from click.testing import CliRunner

from stack.cli.call import choose, load, shown
from stack.cli.main import main
from stack.cli.rpcinfo import program_number
from stack.errors import ConfigError
from stack.rpc.rpcbind.protocol import PMAP_V2, RPCB_V4, pmap_mapping, pmap_node, rpcb, rpcb_node
from tests.support.control_socket import Daemon
from tests.support.rpc_calc import CALC_X, PROGRAM

CALC = str(CALC_X)
HOST = "198.18.0.1"
MISMATCH = {
    "status": "ProgMismatch",
    "error": "the server has it in versions 1 to 2 only",
    "low": 1,
    "high": 2,
}


def invoke(*arguments, **kwargs):
    return CliRunner().invoke(main, arguments, **kwargs)


def given(data=b"", **more):
    return {"ok": True, "address": "198.18.0.2", "results": base64.b64encode(data).decode(), **more}


def failed(answer):
    return {"ok": True, "address": "198.18.0.2", "results": None, "maybe_executed": False, **answer}


def ask(tmp_path, answers, *arguments):
    """What comes of a command, and what the daemon was asked."""
    path = tmp_path / "control"
    with Daemon(path, *answers) as daemon:
        result = invoke(*arguments, "--control", str(path))
    path.unlink()
    return result, daemon.asked


# -- call


def test_a_call(tmp_path):
    result, (asked,) = ask(
        tmp_path, [given(struct.pack(">iq", 0, 3))], "call", CALC, HOST, "CALC_DO", '{"what": "ADD", "a": 1, "b": 2}'
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"status": 0, "value": 3}
    assert result.stderr == ";; called by the daemon on tapstack0, from 198.18.0.2\n"
    assert base64.b64decode(asked.pop("args")) == struct.pack(">iqq", 0, 1, 2)
    assert asked == {
        "op": "call", "address": HOST, "proto": "tcp", "port": 0, "program": PROGRAM, "version": 1, "procedure": 1,
        "interface": "CALC_V1", "name": "CALC_DO", "timeout": 5.0,
    }  # fmt: skip


def test_options(tmp_path):
    options = ("--proto", "udp", "--port", "2049", "-W", "0.5", "--auth", "sys", "-V", "2", "--compact")
    result, (asked,) = ask(
        tmp_path, [given(struct.pack(">q", 6))], "call", *options, CALC, HOST, "CALC.1", "1", "2", "3"
    )
    assert result.stdout == "6\n", result.output
    assert (asked["proto"], asked["port"], asked["timeout"], asked["version"]) == ("udp", 2049, 0.5, 2)
    assert set(asked["caller"]) == {"uid", "gid", "gids", "machine"}
    assert base64.b64decode(asked["args"]) == struct.pack(">qqi", 1, 2, 3)


def test_a_void_result(tmp_path):
    result, _ = ask(tmp_path, [given()], "call", CALC, HOST, "CALC_RESET")
    assert (result.exit_code, result.stdout) == (0, "null\n")


def test_an_argument_from_standard_input(tmp_path):
    path = tmp_path / "control"
    with Daemon(path, given(struct.pack(">I", 2) + b"\xde\xad\0\0")) as daemon:
        result = invoke("call", CALC, HOST, "CALC_ECHO", "-", "--control", str(path), input='"dead"')
    assert json.loads(result.stdout) == "dead"
    assert base64.b64decode(daemon.asked[0]["args"])[4:6] == b"\xde\xad"


def test_a_call_that_fails(tmp_path):
    answer = failed(
        {"results": None, "status": "RpcTimeout", "error": "no reply to CALC_COUNTER in time; it may have run"}
    )
    result, _ = ask(tmp_path, [answer], "call", CALC, HOST, "CALC_COUNTER")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.endswith("tapstack: no reply to CALC_COUNTER in time; it may have run\n")


def test_a_result_of_another_file(tmp_path):
    result, _ = ask(tmp_path, [given(b"\0\0\0")], "call", CALC, HOST, "CALC_COUNTER")
    assert result.exit_code == 1
    assert "the result of CALC_COUNTER is not what the file says: short" in result.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("CALC_NONE",), "no procedure CALC_NONE; CALC version 1 has CALC_DO, "),
        (("CALC_DO", "-V", "7"), "the file has no procedure CALC_DO in version 7; it is in version 1"),
        (("OTHER.CALC_DO",), "the file has no procedure OTHER.CALC_DO; CALC version 1 has "),
        (("CALC_DO",), "CALC_DO takes 1 arguments (args), not 0: give each as JSON"),
        (("CALC_ADD3", "1", "2"), "CALC_ADD3 takes 3 arguments (hyper, hyper, int), not 2: give each as JSON"),
        (("CALC_COUNT", "null"), "CALC_COUNT takes 0 arguments (none), not 1: give each as JSON"),
        (("CALC_ADD3", "1", "2", "{"), "argument 3 is no JSON: Expecting property name"),
        (("CALC_ADD3", "1", "2", "a"), """; a string is written with quotes, '"a"'"""),
        (("CALC_ADD3", "1", "2", "[" * 100_000), "argument 3 is nested too deeply"),
        (("CALC_ADD3", "1", "2", "2147483648"), "argument 3: 2147483648 is not within the range of int"),
        (("CALC_DO", '{"what": "POW", "a": 1, "b": 2}'), "argument 1: what: 'POW' is no op: use one of ADD, SUB, MUL"),
        (("CALC_ECHO", '"' + "00" * 50_000 + '"'), "50004 octets of arguments: at most 40000 can be given here"),
    ],
)
def test_what_cannot_be_called(words, sentence):
    result = invoke("call", CALC, HOST, *words, "--via", "kernel")
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr
    assert result.stdout == ""


def test_a_file_with_a_mistake(tmp_path):
    file = tmp_path / "bad.x"
    file.write_text("struct a {\n  itn b;\n};\n")
    result = invoke("call", str(file), HOST, "P")
    assert result.exit_code == 2
    assert f"{file}:2:3" in result.stderr


def test_a_file_that_is_not_there(tmp_path):
    result = invoke("call", str(tmp_path / "none.x"), HOST, "P")
    assert result.exit_code == 2
    assert result.stderr == f"tapstack: {tmp_path}/none.x: no such file or directory\n"


def test_included_files_and_macros(tmp_path):
    (tmp_path / "types.x").write_text("typedef int number;\n#ifdef WIDE\ntypedef hyper wide;\n#endif\n")
    file = tmp_path / "sub" / "p.x"
    file.parent.mkdir()
    file.write_text('#include "types.x"\nprogram P { version V { wide F(number) = SIZE; } = 1; } = 7;\n')
    interface = load(str(file), (str(tmp_path),), ("WIDE", "SIZE=9"))
    assert choose(interface, "F", None)[2].number == 9
    with pytest.raises(ConfigError, match=r"types\.x"):
        load(str(file), (), ())


TWO = """
program A { version A1 { int F(void) = 1; } = 1; version A2 { int F(void) = 1; } = 2; } = 7;
program B { version B1 { int F(void) = 1; int G(void) = 2; } = 1; } = 8;
"""


def test_which_procedure(tmp_path):
    file = tmp_path / "two.x"
    file.write_text(TWO)
    interface = load(str(file), (), ())

    def chosen(*wanted):
        program, version, procedure = choose(interface, *wanted)
        return program.name, version.number, procedure.name

    assert chosen("A.F", None) == ("A", 2, "F")
    assert chosen("A.F", 1) == ("A", 1, "F")
    assert chosen("G", None) == ("B", 1, "G")
    with pytest.raises(ConfigError, match=r"several programs have F: say which, like A\.F"):
        chosen("F", None)


def test_letters_are_shown_as_they_are():
    assert shown("grüß", compact=True) == '"grüß"'
    assert shown("\udcff", compact=True) == '"\\udcff"'
    assert shown([1], compact=False) == "[\n  1\n]"
    assert shown("\x9b31m\u202e", compact=True) == '"\\u009b31m\\u202e"'


# -- rpcinfo

LISTED = rpcb_node(
    rpcb(100000, 4, "tcp", "0.0.0.0.0.111", "superuser"),
    rpcb_node(
        rpcb(PROGRAM, 1, "udp", "198.18.0.1.8.1", "1000"),
        rpcb_node(rpcb(100003, 3, "local", "/run/nfs", "me"), rpcb_node(rpcb(7, 1, "odd", "what", ""), None)),
    ),
)


def dumped(interface, value):
    return given(interface.procedures[4].encode_result(value))


def test_what_is_registered(tmp_path):
    result, (asked,) = ask(tmp_path, [dumped(RPCB_V4, LISTED)], "rpcinfo", HOST)
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        ";; asked by the daemon on tapstack0, from 198.18.0.2\n"
        "program    version  netid  address     port  service  owner\n"
        "100000     4        tcp    0.0.0.0     111   rpcbind  superuser\n"
        "536873369  1        udp    198.18.0.1  2049           1000\n"
        "100003     3        local  /run/nfs          nfs      me\n"
        "7          1        odd    what\n"
    )
    assert (asked["program"], asked["version"], asked["procedure"], asked["port"]) == (100000, 4, 4, 111)


def test_as_json(tmp_path):
    result, _ = ask(tmp_path, [dumped(RPCB_V4, LISTED)], "rpcinfo", HOST, "--json")
    said = json.loads(result.stdout)
    assert (said["via"], said["address"], len(said["registered"])) == ("daemon", HOST, 4)
    assert said["registered"][1] == {
        "program": PROGRAM, "version": 1, "netid": "udp", "address": "198.18.0.1", "port": 2049, "service": "",
        "owner": "1000",
    }  # fmt: skip


def test_an_old_port_mapper(tmp_path):
    none = failed({**MISMATCH, "low": 2, "high": 2})
    listed = pmap_node(pmap_mapping(100000, 2, 6, 111), pmap_node(pmap_mapping(100005, 1, 17, 635), None))
    result, asked = ask(tmp_path, [none, none, dumped(PMAP_V2, listed)], "rpcinfo", HOST)
    assert [one["version"] for one in asked] == [4, 3, 2]
    assert result.stdout.splitlines()[2:] == [
        "100000   2        tcp             111   rpcbind",
        "100005   1        udp             635   mountd",
    ]


def test_nobody_there(tmp_path):
    answer = failed(
        {"results": None, "status": "Unreachable", "error": "the server of RPCBPROC_DUMP cannot be reached"}
    )
    for more in ((), ("--json",)):
        result, _ = ask(tmp_path, [answer], "rpcinfo", HOST, *more)
        assert result.exit_code == 1
        assert "cannot be reached" in (result.stdout if more else result.stderr)


def test_all_versions_of_a_program(tmp_path):
    result, asked = ask(tmp_path, [failed(MISMATCH), given(), given()], "rpcinfo", HOST, str(PROGRAM), "--proto", "udp")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1:] == [
        f"program {PROGRAM} version 1 over udp: ready",
        f"program {PROGRAM} version 2 over udp: ready",
    ]
    assert [one["version"] for one in asked] == [0, 1, 2]
    assert {(one["procedure"], one["proto"]) for one in asked} == {(0, "udp")}


def test_one_version_that_is_not_there(tmp_path):
    result, _ = ask(tmp_path, [failed(MISMATCH)], "rpcinfo", HOST, "nfs", "9")
    assert result.exit_code == 1
    assert result.stderr == f"tapstack: program 100003 at {HOST} has versions 1 to 2 only\n"
    result, _ = ask(tmp_path, [failed(MISMATCH)], "rpcinfo", HOST, "nfs", "9", "--json")
    said = json.loads(result.stdout)
    assert said["versions"] == [{"version": 9, "answers": False, "maybe_executed": False, **MISMATCH}]


def test_names_and_numbers():
    assert program_number("nfs") == program_number("100003") == program_number("0x186a3") == 100003
    assert program_number("portmapper") == program_number("rpcbind")
    for text in ("nobody", "-1", "4294967296"):
        with pytest.raises(ConfigError):
            program_number(text)


def test_a_port_without_a_program():
    result = invoke("rpcinfo", HOST, "--port", "7")
    assert result.exit_code == 2
    assert "--port is the port of a program" in result.stderr


def test_what_others_registered_does_not_steer_the_terminal(tmp_path):
    listed = rpcb_node(rpcb(7, 1, "u\x1b[2J", "\x9b31m", "me\r\nyou\u202e"), None)
    result, _ = ask(tmp_path, [dumped(RPCB_V4, listed)], "rpcinfo", HOST)
    assert result.stdout.splitlines()[2:] == [
        "7        1        u\\x1b[2J  \\x9b31m                 me\\r\\nyou\\u202e"
    ]


def test_an_answer_of_something_else(tmp_path):
    result, _ = ask(tmp_path, [given(b"\0\0\0\1junk")], "rpcinfo", HOST)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"tapstack: what {HOST} answered to RPCBPROC_DUMP is no result of it: ")


def test_versions_that_cannot_be(tmp_path):
    """None would have to answer, so all would."""
    result, _ = ask(tmp_path, [failed({**MISMATCH, "low": 5, "high": 3})], "rpcinfo", HOST, "7")
    assert result.exit_code == 1
    assert result.stderr == f"tapstack: program 7 at {HOST} has versions 5 to 3 only\n"
