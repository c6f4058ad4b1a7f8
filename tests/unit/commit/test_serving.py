"""Members on simulated hosts: databases that change together, the blocking case, members that there are not."""

import asyncio
from contextlib import AsyncExitStack, closing

import pytest

from stack import commit, rpc
from stack.commit.coordinator import Coordinator
from stack.config import SECOND
from stack.errors import ConfigError
from stack.sim import run
from tests.support.commit_money import STATEMENTS, amounts, give, make, take

MEMBERS = {"teller": ("teller", 4000), "north": ("north", 4001), "south": ("south", 4002)}
TIMING = commit.Timing(vote_us=3 * SECOND, again_us=SECOND // 2, longest_us=4 * SECOND)
WORK = {"north": take(30), "south": give(30)}


class Town:
    """Three hosts with their disks; `start` and `crash` as the power does."""

    def __init__(self, net, folder):
        self.net, self.folder = net, folder
        self.hosts = dict(zip(MEMBERS, net.add_hosts(*MEMBERS), strict=True))
        self.running = {}
        self.stores = {}
        for name in ("north", "south"):
            make(folder / f"{name}.db")

    async def start(self, *names, **how):
        for name in names or MEMBERS:
            host = self.hosts[name]
            if not host.is_up:
                host.restart()
            own = {"host": host, "timing": TIMING} | how
            if name == "teller":
                self.running[name] = await commit.coordinate(name, self.folder / "teller.log", MEMBERS, **own)
            else:
                self.stores[name] = commit.Database(self.folder / f"{name}.db", name, STATEMENTS)
                self.running[name] = await commit.serve(name, self.stores[name], MEMBERS, **own)
        return self.running.get("teller")

    async def stop(self, name):
        """In order, as the process ends; the host is off then."""
        await self.running.pop(name).aclose()
        if name in self.stores:
            self.stores.pop(name).close()
        self.hosts[name].crash()

    async def close(self):
        for name in list(self.running):
            await self.stop(name)

    def amounts(self):
        return [amounts(self.folder / f"{name}.db")[who] for name, who in (("north", "anna"), ("south", "otto"))]


class Indecisive(Coordinator):
    """Has all votes, and does not decide."""

    __slots__ = ()

    def _commit(self, found, now):
        pass


async def decision(teller):
    """Until it is written; nobody has heard of it then."""
    while not teller.stats["committed"]:
        await asyncio.sleep(0.0001)


def in_town(tmp_path, main, seed=1):
    async def all_of_it(net):
        town = Town(net, tmp_path)
        async with AsyncExitStack() as closing:
            closing.push_async_callback(town.close)
            async with asyncio.timeout(600):
                return await main(town)

    return run(all_of_it, seed=seed)


def test_both_databases_change_or_none(tmp_path):
    async def main(town):
        teller = await town.start()
        done = await teller.run(WORK)
        assert (done.waits_for, town.amounts()) == ((), [70, 130])
        with pytest.raises(commit.Aborted, match="was aborted: north: take: CHECK constraint failed") as caught:
            await teller.run({"north": take(71), "south": give(71)})
        assert caught.value.why.startswith("north: ")
        assert town.amounts() == [70, 130]
        told = await commit.status(MEMBERS, host=town.hosts["north"])
        assert [str(member) for member in told] == [f"{name}: nothing is open" for name in MEMBERS]

    in_town(tmp_path, main)


def test_transactions_at_the_same_time_wait_for_each_other(tmp_path):
    async def main(town):
        teller = await town.start()
        results = await asyncio.gather(*(teller.run(WORK) for _ in range(3)))
        assert len({done.transaction for done in results}) == 3
        assert town.amounts() == [10, 190]

    in_town(tmp_path, main)


def test_two_that_wait_for_each_other_do_so_not_for_ever(tmp_path):
    """Each has one database, and needs the other's."""

    async def main(town):
        teller = await town.start()
        link = town.hosts["south"].link
        one = asyncio.create_task(teller.run(WORK))
        link.down()  # the first has north, and comes to south later than the second
        await asyncio.sleep(0.01)
        link.up()
        other = asyncio.create_task(teller.run({"south": give(1), "north": take(1)}))
        ended = await asyncio.gather(one, other, return_exceptions=True)
        committed = [result for result in ended if isinstance(result, commit.Committed)]
        assert all(isinstance(result, commit.Committed | commit.Aborted) for result in ended)
        assert sum(town.amounts()) == 200
        assert len(committed) >= 1

    in_town(tmp_path, main)


def test_the_blocking_case_is_seen_and_ends_when_the_coordinator_is_back(tmp_path):
    """All have voted, the coordinator is gone: nobody can know the decision, and everything stays locked."""

    async def main(town):
        teller = await town.start()
        teller.machine.__class__ = Indecisive  # it dies before it decides
        asked = asyncio.create_task(teller.run(WORK))
        await asyncio.sleep(0.1)
        await town.stop("teller")
        with pytest.raises(commit.Undecided):
            await asked
        await asyncio.sleep(60)
        assert town.amounts() == [100, 100]
        silent, north, south = await commit.status(MEMBERS, host=town.hosts["north"])
        assert silent.silent
        for member, other in ((north, "south"), (south, "north")):
            (row,) = member.rows
            assert (row.state, row.waits_for) == ("prepared", ("teller",))
            assert row.since < SECOND
            assert f"{other}: is in doubt, too" in row.note
            assert f"{member.name}: {row.transaction} is prepared, waits for teller since 1970-01-01" in str(member)
        await town.start("teller")
        await asyncio.sleep(10)
        assert [member.rows for member in await commit.status(MEMBERS, host=town.hosts["north"])] == [[], [], []]
        assert town.amounts() == [100, 100]  # abort is presumed

    in_town(tmp_path, main)


def test_one_that_knows_the_decision_tells_the_other(tmp_path):
    """Cooperative termination: the coordinator is gone, but one participant has heard it."""

    async def main(town):
        teller = await town.start()
        task = asyncio.create_task(teller.run(WORK))
        await decision(teller)
        town.net.partition(town.hosts["teller"], town.hosts["south"])
        await asyncio.sleep(0.1)
        await town.stop("teller")
        await asyncio.gather(task, return_exceptions=True)
        assert town.amounts() == [70, 100]
        await asyncio.sleep(10)
        assert town.amounts() == [70, 130]

    in_town(tmp_path, main)


def test_a_participant_that_was_away_hears_the_decision(tmp_path):
    async def main(town):
        teller = await town.start()
        task = asyncio.create_task(teller.run(WORK, settle_s=1))
        await decision(teller)
        await town.stop("south")
        done = await task
        assert (done.waits_for, town.amounts()) == (("south",), [70, 100])
        assert [row.waits_for for row in teller.status()] == [("south",)]
        await town.stop("teller")
        await asyncio.sleep(5)
        await town.start("south")
        await asyncio.sleep(5)
        await town.start("teller")
        await asyncio.sleep(10)
        assert town.amounts() == [70, 130]
        assert town.running["teller"].status() == []

    in_town(tmp_path, main)


def test_a_participant_that_has_lost_its_disk_is_told_of(tmp_path):
    async def main(town):
        teller = await town.start()
        task = asyncio.create_task(teller.run(WORK, settle_s=1))
        await decision(teller)
        await town.stop("south")
        await task
        (town.folder / "south.db").unlink()
        make(town.folder / "south.db")
        await town.start("south")
        await asyncio.sleep(10)
        (told,) = teller.lost
        assert "south knows nothing of having promised it" in told
        assert (teller.status(), town.amounts()) == ([], [70, 100])

    in_town(tmp_path, main)


def test_a_member_that_cannot_be_reached_is_an_abort(tmp_path):
    async def main(town):
        teller = await town.start("teller", "north")
        with pytest.raises(commit.Aborted, match=r"south has not voted: the server of .* cannot be reached"):
            await teller.run(WORK)
        town.hosts["south"].crash()
        with pytest.raises(commit.Aborted, match="south"):
            await teller.run(WORK)
        await asyncio.sleep(5)
        assert (town.amounts(), town.running["north"].status()) == ([100, 100], [])

    in_town(tmp_path, main)


def test_members_that_there_are_not(tmp_path):
    async def main(town):
        teller = await town.start()
        with pytest.raises(ConfigError, match="no member is called 'west': there are north, south, teller"):
            await teller.run({"west": take(1)})
        with pytest.raises(ConfigError, match="no member is called 'west'"):
            await commit.serve("west", town.stores["north"], MEMBERS, host=town.hosts["north"])
        with pytest.raises(ConfigError, match="no member is called 'west'"):
            await commit.coordinate("west", town.folder / "west.log", MEMBERS, host=town.hosts["north"])
        crossed = MEMBERS | {"west": MEMBERS["north"]}
        crossed |= {"teller": ("teller", 4009)}
        host = town.hosts["teller"]
        async with await commit.coordinate("teller", town.folder / "x.log", crossed, host=host) as other:
            with pytest.raises(commit.Aborted, match="this is north, not west: the addresses of the members are wrong"):
                await other.run({"west": take(1)})

    in_town(tmp_path, main)


def test_a_person_decides_what_nobody_else_can(tmp_path):
    async def main(town):
        teller = await town.start()
        teller.machine.__class__ = Indecisive
        asked = asyncio.create_task(teller.run(WORK))
        await asyncio.sleep(0.1)
        await town.stop("teller")
        await asyncio.gather(asked, return_exceptions=True)
        for name in ("north", "south"):
            member = town.running[name]
            (row,) = member.status()
            member.resolve(row.transaction, commit=True)
        assert town.amounts() == [70, 130]

    in_town(tmp_path, main)


def test_who_may_call_is_said_by_the_policy(tmp_path):
    async def main(town):
        await town.start("north", auth=rpc.allow(networks=["10.0.0.1/32"]))
        teller = await town.start("teller", auth=None)
        assert (await teller.run({"north": take(1)})).waits_for == ()
        async with rpc.connect(commit.protocol.COMMIT_V1, "north", port=4001, host=town.hosts["south"]) as stranger:
            with pytest.raises(rpc.AuthError):
                await stranger.STATUS()

    in_town(tmp_path, main)


def test_a_ledger_and_a_database_in_one_transaction(tmp_path):
    async def main(town):
        await town.start("north")
        ledger = commit.open_ledger(tmp_path / "south.log", "south")
        south = await commit.serve("south", ledger, MEMBERS, host=town.hosts["south"], timing=TIMING)
        async with south:
            teller = await town.start("teller")
            await teller.run({"north": take(5), "south": commit.entries({"otto": 5})})
        assert (amounts(tmp_path / "north.db")["anna"], ledger.balance("otto")) == (95, 5)

    in_town(tmp_path, main)


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (("127.0.0.1", 99999), "member 'north' has port 99999: use a number from 1 to 65535"),
        (("127.0.0.1", "7000"), "member 'north' has port '7000'"),
        ("127.0.0.1:7000", "member 'north' is at '127.0.0.1:7000': use a pair of address and port"),
    ],
)
def test_places_that_are_none_are_refused_at_the_start(tmp_path, place, why):
    async def main(net):
        with pytest.raises(ConfigError, match=why):
            await commit.coordinate("teller", tmp_path / "x.log", {"teller": ("teller", 1), "north": place})

    run(main, seed=1)
    assert list(tmp_path.iterdir()) == []


def test_a_coordinator_that_was_closed_begins_nothing(tmp_path):
    async def main(net):
        town = Town(net, tmp_path)
        teller = await town.start()
        await teller.aclose()
        with pytest.raises(ConfigError, match="the coordinator teller was closed: make another one"):
            await teller.run(WORK)
        assert teller.status() == []
        await town.close()

    run(main, seed=1)


def test_a_log_behind_a_link_stays_where_it_is(tmp_path):
    for name in ("disk", "etc"):
        (tmp_path / name).mkdir()
    (tmp_path / "etc" / "x.log").symlink_to(tmp_path / "disk" / "teller.log")

    async def main(net):
        for path in ("etc/x.log", "disk/teller.log"):  # made, and written anew
            async with await commit.coordinate(
                "teller", tmp_path / path, {"teller": ("teller", 1)}, host=net.add_host(path)
            ):
                with pytest.raises(ConfigError, match=r"disk/teller\.log is in use"):
                    await commit.coordinate("teller", tmp_path / "etc" / "x.log", {"teller": ("teller", 1)})

    run(main, seed=1)
    assert (tmp_path / "etc" / "x.log").is_symlink()
    assert sorted(one.name for one in (tmp_path / "disk").iterdir()) == ["teller.log", "teller.log.lock"]


def test_a_ledger_is_opened_without_an_event_loop_too(tmp_path):
    with closing(commit.open_ledger(tmp_path / "north.log", "north")) as ledger:
        first = ledger.identity
    with closing(commit.open_ledger(tmp_path / "north.log", "north")) as ledger:
        assert (ledger.identity, ledger.balances) == (first, {})
