"""Work on units: in this process, in worker processes on this machine, or on a Dask cluster. Results come back here."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from typing import Any

from whalefinder.archive.job import Job
from whalefinder.archive.store import Failure, Result
from whalefinder.archive.units import Unit
from whalefinder.archive.work import FATAL, cache, work
from whalefinder.errors import OptionError, OutputError
from whalefinder.optional import needs

ATTEMPTS = 3
"""How often a unit is sent again after the cluster lost it. Dask itself gives up a unit that killed 4 workers."""
CONNECT_S = 10.0
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
}
"""By default Dask makes workers return memory at once. For tensors that are made and deleted this takes 1.7 times the
processor time, by page faults."""

Outcome = tuple[Unit, Result | Failure]


def alone(job: Job, units: list[Unit], tick: Callable[[Unit, float], None]) -> Iterator[Outcome]:
    """Work in this process, unit after unit. `tick` is called with the unit and its seconds done."""
    try:
        for unit in units:
            yield unit, work(job, unit, tick=lambda seconds, unit=unit: tick(unit, seconds))  # type: ignore[misc]
    finally:
        cache.clear()


def together(job: Job, units: list[Unit], workers: int, scheduler: str | None) -> Iterator[Outcome]:
    """Work in `workers` processes on this machine, or on the cluster at `scheduler`. Results come as they are ready.

    Raises:
        OptionError: Dask is not installed, or no scheduler answers.
        OutputError: the connection to the scheduler is lost.
        ArrayError, ModelError: no unit can be worked on.
    """
    threads = None if scheduler else max(1, (os.cpu_count() or 1) // workers)
    with _client(workers, scheduler) as client:
        yield from _handed_out(client, job, units, threads)


def _handed_out(client: Any, job: Job, units: list[Unit], threads: int | None) -> Iterator[Outcome]:
    from distributed import as_completed

    def submit(unit: Unit) -> Any:
        # All tasks have the same name before the dash, since only such tasks wait at the scheduler.
        return client.submit(work, job, unit, threads, key=f"unit-{uuid.uuid4().hex[:8]}", pure=False)

    given = {future.key: (future, unit) for unit in units for future in [submit(unit)]}
    lost: Counter[str] = Counter()
    waiting = as_completed([future for future, _ in given.values()], loop=client.loop)
    for future in waiting:
        _, unit = given.pop(future.key)
        if future.status == "finished":
            yield unit, future.result()
        elif future.status == "error":
            yield unit, _failure(unit, future.exception())
        elif client.status != "running":
            raise OutputError("the scheduler is lost; finished units are kept; run the same command again to continue")
        elif lost[unit.id] < ATTEMPTS:
            lost[unit.id] += 1
            again = submit(unit)
            given[again.key] = again, unit
            waiting.add(again)
        else:
            yield unit, Failure(unit.recording, "lost by the cluster again and again; run again")
        future.release()


def _failure(unit: Unit, reason: BaseException) -> Failure:
    if isinstance(reason, FATAL):
        raise reason
    name = unit.recording
    if type(reason).__name__ == "KilledWorker":
        return Failure(name, "its workers died again and again (too little memory?); run again with fewer `workers`")
    return Failure(name, f"{type(reason).__name__}: {reason}")


@contextmanager
def _silenced(package: str) -> Iterator[None]:
    """Switch off the logs of a package. Dask logs every worker that starts or stops; we report what matters."""
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == package]
    levels = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    for logger, _ in levels:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in levels:
            logger.setLevel(level)


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Any]:
    needs("dask", "distributed", what="work on several processes or machines")
    import dask
    from distributed import Client

    with ExitStack() as stack:
        stack.enter_context(_silenced("distributed"))
        stack.enter_context(dask.config.set({"distributed.comm.timeouts.connect": f"{CONNECT_S}s"}))
        stack.enter_context(dask.config.set({"distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT}))
        # Units wait at the scheduler and not at a worker: a unit takes minutes, and Dask would not move it again.
        stack.enter_context(dask.config.set({"distributed.scheduler.worker-saturation": 1.0}))
        if scheduler is not None:
            asyncio.run(_answers(scheduler))
        address = scheduler if scheduler is not None else stack.enter_context(_cluster(workers))
        try:
            client = Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as reason:
            raise OptionError(_silent(scheduler, reason)) from reason
        yield stack.enter_context(client)


async def _answers(scheduler: str) -> None:
    """Check that a scheduler answers. A `Client` that finds none would wait twice as long again when it is deleted.

    Raises:
        OptionError: none answers within `CONNECT_S`, or something else does.
    """
    from distributed import Security
    from distributed.comm import connect

    try:
        asked = connect(scheduler, timeout=CONNECT_S, **Security().get_connection_args("client"))
        comm = await asyncio.wait_for(asked, 1.5 * CONNECT_S)  # `connect` itself waits for a greeting without end
        await comm.close()
    except Exception as reason:  # the answer of another program can be read as anything
        raise OptionError(_silent(scheduler, reason)) from reason


def _silent(scheduler: str | None, reason: BaseException) -> str:
    what = " ".join(str(reason).split()) or "no greeting in time"
    return f"`scheduler` {scheduler}: no scheduler answers there ({what}); start it, or check the address"


def _cluster(workers: int) -> Any:
    """Worker processes on this machine, reachable only from this machine, without a web page and memory limits."""
    from distributed import LocalCluster

    try:
        with _deaf_to_ctrl_c():
            return LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=None,
                worker_dashboard_address=None,
                memory_limit=0,
                silence_logs=logging.CRITICAL,
            )
    except (OSError, RuntimeError) as reason:
        raise OptionError(f"`workers` {workers}: they cannot be started ({reason}); try fewer") from reason


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Block Ctrl-C for threads and processes that begin inside. A terminal sends it to all; we end them ourselves."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # starting it later would end the block in this thread
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
