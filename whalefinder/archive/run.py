"""A run over an archive: plan, work on units without a result, merge. If a run is killed, the next run continues."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whalefinder.archive.crew import Outcome, alone, together
from whalefinder.archive.job import Job, make_job
from whalefinder.archive.merge import write_tables
from whalefinder.archive.plan import Plan, make_plan
from whalefinder.archive.planfile import load_plan, save_plan
from whalefinder.archive.sources import sweep_caches
from whalefinder.archive.store import Failure, Store
from whalefinder.archive.units import Unit
from whalefinder.errors import OutputError
from whalefinder.files import locked
from whalefinder.options import Crew, LocateOptions
from whalefinder.results.dataset import check_deployment, collect

Report = Callable[[float, float, str], None]


@dataclass(kw_only=True)
class ArchiveSummary:
    """What a run did.

    Args:
        units, done: number of units, and of those with a result.
        seconds: length of the sound of the units that are done.
        calls, tracks: how many are in the tables.
        problems: (name, reason) of everything that is wrong.
        health: the first row of `health.csv` for every kind of finding and its channels.
    """

    units: int = 0
    done: int = 0
    seconds: float = 0.0
    calls: int = 0
    tracks: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)
    health: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)


class Archive:
    """An archive and its folder of results.

    Args:
        folders: folders on this machine, or fsspec addresses.
        array_path: the array file, or None for detections without bearings.
        out: folder of the results. It also holds what is needed to continue.
        options: how to search.

    Raises:
        ArrayError, ModelError, OptionError, RecordingError: the work cannot be planned.
    """

    def __init__(self, folders: list[str], array_path: Path | None, out: Path, options: LocateOptions) -> None:
        self.out = out
        self.job: Job = make_job(array_path, options)
        self.plan: Plan = make_plan(folders, self.job, out.absolute())

    def done(self) -> set[str]:
        """Ids of the planned units that have a result already."""
        return Store(self.out).done(self.plan.units) if (self.out / "units").is_dir() else set()

    def run(
        self, crew: Crew, report: Report = lambda done_s, total_s, note: None, deployment: str | None = None
    ) -> ArchiveSummary:
        """Work on every unit without a result. Then write the tables, unless this is a shard.

        Args:
            crew: where the work is done.
            report: is called with (seconds of sound done in this run, seconds to do in this run, note).
            deployment: also write the tables as a Parquet data set under this name.

        Raises:
            OutputError: another run works in the folder, the disk is full, or the scheduler is lost.
            OptionError: Dask is not installed or does not answer, or the shard or deployment is impossible.
        """
        part, parts = crew.part
        if deployment is not None:
            check_deployment(deployment)  # now, and not after weeks of work
        if not (self.out / "units").is_dir() and (self.out / "recordings.csv").exists():
            raise OutputError(f"{self.out}: holds results of locate, which would be lost; choose another `out`")
        store = Store(self.out)
        with locked(self.out, crew.shard):
            if crew.shard is None:
                store.sweep()
                sweep_caches()
            gone = _gone(self.plan, self.out)
            save_plan(self.plan, self.out)
            mine = [unit for unit in self.plan.units if int(unit.id, 16) % parts == part]
            there = store.done(self.plan.units)
            missing = [unit for unit in mine if unit.id not in there or store.load(unit) is None]
            self._work(missing, store, crew, report)
            summary = _summary(self.plan, mine, store)
            summary.problems += gone
            if crew.shard is None:
                _write(self.plan, store, summary, deployment)
            return summary

    def _work(self, missing: list[Unit], store: Store, crew: Crew, report: Report) -> None:
        total_s, done_s = sum(unit.seconds for unit in missing), 0.0
        report(0.0, total_s, "")
        with closing(self._outcomes(missing, crew, lambda unit, s: report(done_s + s, total_s, unit.name))) as outcomes:
            for unit, outcome in outcomes:
                if isinstance(outcome, Failure):
                    store.fail(unit, outcome)
                else:
                    store.save(unit, outcome)
                done_s += unit.seconds
                report(done_s, total_s, unit.name)

    def _outcomes(
        self, missing: list[Unit], crew: Crew, tick: Callable[[Unit, float], None]
    ) -> Generator[Outcome, None, None]:
        if crew.scheduler is None and crew.workers == 1:
            yield from alone(self.job, missing, tick)
        elif missing:
            yield from together(self.job, missing, crew.workers, crew.scheduler)


def merge(out: Path, deployment: str | None = None) -> ArchiveSummary:
    """Write the tables from the results in the folder, for example those of shards. No recording is read.

    Args:
        out: folder of the results.
        deployment: also write the tables as a Parquet data set under this name.

    Raises:
        OutputError: the folder holds no plan, a run works in it, or the disk is full.
    """
    plan, store = load_plan(out), Store(out)
    with locked(out):
        summary = _summary(plan, list(plan.units), store)
        _write(plan, store, summary, deployment)
        return summary


def _gone(plan: Plan, out: Path) -> list[tuple[str, str]]:
    """Recordings of the last plan that are missing now, with a reason. For example, a disk may not be mounted."""
    try:
        before = load_plan(out)
    except OutputError:
        return []
    there = {entry.name for entry in plan.entries} | {name for name, _ in (*plan.unreadable, *plan.left_out)}
    why = "was here in the last run and is gone, and its calls with it; is a disk missing?"
    return [(entry.name, why) for entry in before.entries if entry.name not in there]


def _summary(plan: Plan, mine: list[Unit], store: Store) -> ArchiveSummary:
    """The number of units that are done, and all problems."""
    summary = ArchiveSummary(units=len(mine), problems=list(plan.unreadable))
    for entry in plan.entries:
        base = entry.name.rpartition("/")[2]
        summary.problems += [(entry.name, line.removeprefix(f"{base}: ")) for line in entry.problems]
    for unit in mine:
        result = store.load(unit)
        if result is None:
            failure = store.failure(unit)
            summary.problems.append((failure.name, failure.reason))
        else:
            summary.done += 1
            summary.seconds += unit.seconds
            summary.problems += result.problems
            for row in result.health:
                summary.health.setdefault((row["kind"], row["channels"]), row)
    return summary


def _write(plan: Plan, store: Store, summary: ArchiveSummary, deployment: str | None) -> None:
    summary.calls, summary.tracks = write_tables(plan, store, summary.problems)
    if deployment is not None:
        collect([store.out], store.out / "dataset", deployment)
