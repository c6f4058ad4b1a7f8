"""The log on a disk that loses and tears, and on the machine's."""

import os
from errno import ENOSPC
from pathlib import Path
from random import Random

import pytest

from stack.commit.coordinator import Coordinator
from stack.commit.disk import FileDisk
from stack.commit.errors import CorruptLog, LogError, LogFailed
from stack.commit.ledger import Ledger
from stack.commit.log import Log
from stack.errors import ConfigError
from tests.support.commit_disk import SimDisk


def fresh(octets):
    return bytes(range(octets))


def new(seed=1):
    disk = SimDisk(Random(seed))
    return disk, Log.open(disk, "x.log", owner="teller", fresh=fresh)


def again(disk, owner="teller"):
    return Log.open(disk, "x.log", owner=owner, fresh=fresh)


def write(log, *records):
    for record in records:
        log.add(record)
    log.flush()


def content(disk):
    return disk.names["x.log"].seen


def put(disk, data):
    file = disk.names["x.log"]
    file.seen = file.kept = data


def test_what_was_flushed_is_there_after_a_crash():
    for seed in range(20):
        disk, log = new(seed)
        write(log, b"one", b"", b"three")
        write(log, b"four" * 100)
        log.add(b"never flushed")
        disk.crash()
        assert again(disk).records == [b"one", b"", b"three", b"four" * 100]


def test_a_frame_that_was_torn_is_cut_off_wherever_it_ends():
    disk, log = new()
    write(log, b"kept")
    start = len(content(disk))
    write(log, b"lost " * 20)
    whole = content(disk)
    for length in range(start, len(whole)):
        put(disk, whole[:length])
        found = again(disk)
        assert (found.records, found.cut) == ([b"kept"], length - start)
        write(found, b"next")
        assert again(disk).records == [b"kept", b"next"]


def test_torn_writes_of_any_kind_leave_what_was_flushed():
    fates = set()
    for seed in range(200):
        disk, log = new(seed)
        write(log, b"kept")
        disk.lies = True
        write(log, b"perhaps" * 30)
        disk.crash()
        records = again(disk).records
        assert records in ([b"kept"], [b"kept", b"perhaps" * 30])
        fates.add(len(records))
    assert fates == {1, 2}


def test_damage_in_the_middle_is_refused_at_every_octet():
    disk, log = new()
    write(log, b"first")
    write(log, b"second")
    write(log, b"third")
    whole = content(disk)
    end = whole.index(b"second") + len(b"second")
    for at in range(end):
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        put(disk, bytes(damaged))
        with pytest.raises(CorruptLog) as caught:
            again(disk)
        assert "x.log" in caught.value.strerror


def test_the_sentence_about_a_damaged_log():
    disk, log = new()
    write(log, b"first")
    at = len(content(disk))
    write(log, b"second")
    write(log, b"third")
    put(disk, content(disk).replace(b"second", b"sedond"))
    with pytest.raises(CorruptLog, match=f"the log x.log is damaged at octet {at} .*it is not used.*restore the file"):
        again(disk)


def test_what_is_no_log_or_anothers_is_refused():
    disk, _ = new()
    with pytest.raises(CorruptLog, match="the log of 'teller', not of 'north'"):
        again(disk, "north")
    put(disk, b"SQLite format 3\0")
    with pytest.raises(CorruptLog, match="is not a log of two-phase commit"):
        again(disk)
    put(disk, b"")
    with pytest.raises(CorruptLog, match="is not a log of two-phase commit"):
        again(disk)


def test_octets_that_look_like_a_frame_of_another_log_are_data():
    other_disk, other = SimDisk(Random(2)), None
    other = Log.open(other_disk, "x.log", owner="teller", fresh=lambda n: b"\xff" * n)
    write(other, b"evil")
    disk, log = new()
    write(log, b"kept")
    start = len(content(disk))
    write(log, content(other_disk) * 2)
    put(disk, content(disk)[:-1])
    found = again(disk)
    assert (found.records, found.size) == ([b"kept"], start)


def test_a_full_disk_leaves_nothing_half_written():
    disk, log = new()
    write(log, b"first")
    size = len(content(disk))
    disk.free = 10
    log.add(b"too much")
    with pytest.raises(LogError, match=r"x\.log cannot be written: No space left") as caught:
        log.flush()
    assert caught.value.errno == ENOSPC
    assert len(content(disk)) == size
    disk.free = None
    write(log, b"second")
    disk.crash()
    assert again(disk).records == [b"first", b"second"]


def test_a_flush_that_fails_ends_the_log_until_it_is_opened_again():
    disk, log = new()
    write(log, b"first")
    disk.breaks = True
    log.add(b"who knows")
    with pytest.raises(LogFailed, match=r"has failed \(Input/output error\): start anew"):
        log.flush()
    log.add(b"more")
    with pytest.raises(LogFailed):
        log.flush()
    with pytest.raises(LogFailed):
        log.compact([])
    assert again(disk).records[0] == b"first"


def test_what_the_system_alone_remembers_is_on_the_disk_before_it_counts():
    """After a flush that failed the file reads well, and the disk does not have it: compacting writes it again."""
    disk, log = new()
    write(log, b"first")
    disk.breaks = True
    log.add(b"remembered")
    with pytest.raises(LogFailed):
        log.flush()
    found = again(disk)  # another process, the same system
    assert found.records == [b"first", b"remembered"]
    found.compact(found.records)
    disk.crash()
    assert again(disk).records == [b"first", b"remembered"]


def test_compacting_survives_a_crash_at_each_step():
    steps = []
    disk, log = new()
    disk.step = lambda what, is_before: steps.append(what)
    log.compact([b"new"])
    for stop in range(len(steps)):
        for seed in range(10):
            disk, log = new(seed)
            write(log, b"old", b"gone")
            left = [stop]

            def step(what, is_before, left=left):
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt

            disk.step = step
            with pytest.raises(KeyboardInterrupt):
                log.compact([b"new"])
            disk.step = lambda what, is_before: None
            disk.crash()
            assert again(disk).records in ([b"old", b"gone"], [b"new"])


def test_compacting_with_a_full_disk_leaves_the_log_as_it_was():
    disk, log = new()
    write(log, b"old")
    disk.free = 20
    with pytest.raises(LogError, match="cannot be written anew"):
        log.compact([b"new"])
    disk.free = None
    write(log, b"more")
    assert again(disk).records == [b"old", b"more"]
    assert "x.log.new" not in disk.names


# -- the machine's disk


def test_on_the_disk_of_the_machine(tmp_path):
    disk = FileDisk(tmp_path, "x.log")
    log = again(disk)
    write(log, b"one")
    write(log, b"two")
    log.compact([b"three"])
    write(log, b"four")
    disk.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.log", "x.log.lock"]
    disk = FileDisk(tmp_path, "x.log")
    assert again(disk).records == [b"three", b"four"]
    disk.close()


def test_a_torn_end_on_the_disk_of_the_machine(tmp_path):
    disk = FileDisk(tmp_path, "x.log")
    write(again(disk), b"one")
    disk.close()
    path = tmp_path / "x.log"
    path.write_bytes(path.read_bytes() + b"\xf5CRD torn")
    disk = FileDisk(tmp_path, "x.log")
    found = again(disk)
    assert (found.records, found.cut) == ([b"one"], 9)
    write(found, b"two")
    disk.close()
    disk = FileDisk(tmp_path, "x.log")
    assert again(disk).records == [b"one", b"two"]
    disk.close()


def test_files_and_folder_are_flushed(tmp_path, monkeypatch):
    flushed = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda file: (flushed.append(str(Path(f"/proc/self/fd/{file}").readlink())), real(file))
    )
    disk = FileDisk(tmp_path, "x.log")
    log = again(disk)
    assert flushed == [str(tmp_path / "x.log.new"), str(tmp_path)]
    flushed.clear()
    write(log, b"one")
    assert flushed == [str(tmp_path / "x.log")]
    disk.close()


def test_one_process_has_a_log_at_a_time(tmp_path):
    disk = FileDisk(tmp_path, "x.log")
    with pytest.raises(ConfigError, match=r"x\.log is in use by another process"):
        FileDisk(tmp_path, "x.log")
    disk.close()
    FileDisk(tmp_path, "x.log").close()


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be used: No such file or directory"):
        FileDisk(tmp_path / "none", "x.log")


def test_a_disk_that_is_really_full():
    """/dev/full takes nothing."""
    disk = FileDisk("/dev/shm", f"tapstack-{os.getpid()}")
    try:
        disk._files["x.log"] = os.open("/dev/full", os.O_RDWR)
        with pytest.raises(OSError, match="No space left"):
            disk.write("x.log", 0, b"something")
    finally:
        disk.close()
        Path(f"/dev/shm/tapstack-{os.getpid()}.lock").unlink()


def test_damage_in_what_was_compacted_is_refused_at_every_octet():
    """It was flushed before the file had its name, so no crash can have torn it, though nothing may stand behind it."""
    disk, log = new()
    log.compact([b"all", b"that matters"])
    whole = content(disk)
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        put(disk, bytes(damaged))
        with pytest.raises(CorruptLog):
            again(disk)
    for length in range(len(whole)):
        put(disk, whole[:length])
        with pytest.raises(CorruptLog):
            again(disk)
    put(disk, whole)
    assert again(disk).records == [b"all", b"that matters"]


def test_what_is_too_much_for_a_frame_is_refused_and_not_written(monkeypatch):
    disk, log = new()
    write(log, b"first")
    monkeypatch.setattr("stack.commit.log.MAX_FRAME", 100)
    log.add(b"x" * 200)
    with pytest.raises(LogError, match=r"204 octets at once are too many for the log x\.log: 100 at most"):
        log.flush()
    with pytest.raises(LogError, match="too many"):
        log.compact([b"x" * 200])
    write(log, b"second")
    assert again(disk).records == [b"first", b"second"]


def test_a_record_of_something_else_is_no_raw_error():
    disk = SimDisk(Random(1))
    write(Log.open(disk, "x.log", owner="teller", fresh=fresh), b"of a later version")
    with pytest.raises(CorruptLog, match="the log of teller has a record that makes no sense here"):
        Coordinator("teller", again(disk), ["teller"], 0, lambda: 7)
    disk = SimDisk(Random(1))
    write(Log.open(disk, "x.log", owner="ledger north", fresh=fresh), b"of a later version")
    with pytest.raises(CorruptLog, match=r"x\.log has a record that makes no sense here"):
        Ledger(disk, "x.log", "north", fresh)
