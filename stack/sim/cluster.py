"""The same tasks on the machines of a Dask cluster.  Needs distributed (the extra `tapstack[cluster]`)."""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Final

from distributed import Client, KilledWorker, as_completed

from stack.errors import ConfigError, StackError
from stack.sim.sweep import Row, Task, code_version, died, run_task

CONNECT_S: Final = "10s"
ADDRESS: Final = re.compile(r"[a-z]+://\S+:[0-9]{1,5}/?")
AHEAD: Final = 4  # tasks handed out per thread of the cluster: it is never idle, and a large sweep does not fill it


def remote(todo: Sequence[Task], address: str) -> Iterator[Row]:
    """Rows in the order in which they come.  Raises ConfigError when the cluster cannot be used."""
    if not ADDRESS.fullmatch(address):
        raise ConfigError(f"--cluster {address}: write PROTOCOL://HOST:PORT, such as tcp://10.1.2.3:8786")
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as error:
        raise ConfigError(f"--cluster {address}: no Dask scheduler answers there ({error})") from None
    with client:
        threads = _check(client, address)
        waiting = iter(todo)
        of = {}
        for task in itertools.islice(waiting, AHEAD * threads):
            of[client.submit(run_task, task, key=task.key, pure=False)] = task
        running = as_completed(list(of), loop=client.loop)  # type: ignore[no-untyped-call]
        for future in running:
            task = of.pop(future)
            try:
                row: Row = future.result()
            except KilledWorker:
                row = died(task)
            except Exception as error:
                raise StackError(f"--cluster {address}: {type(error).__name__}: {error}") from error
            future.release()
            yield row
            for more in itertools.islice(waiting, 1):
                another = client.submit(run_task, more, key=more.key, pure=False)
                of[another] = more
                running.add(another)  # type: ignore[no-untyped-call]


def _check(client: Client, address: str) -> int:
    """The threads of the cluster, all of which have our version."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        raise ConfigError(f"--cluster {address}: the scheduler has no workers")
    try:
        versions = client.run(code_version)
    except Exception as error:  # noqa: BLE001  # whatever a machine of theirs lacks
        raise ConfigError(f"--cluster {address}: a worker cannot run tapstack: {error}") from None
    for worker, told in versions.items():
        if told != code_version():
            raise ConfigError(f"--cluster {address}: the worker {worker} has tapstack {told}, not {code_version()}")
    return sum(worker["nthreads"] for worker in workers.values())
