"""The command for months of recordings: archive."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from whalefinder.cli.common import (
    AllEvents,
    Array,
    Classifier,
    Method,
    MinProbability,
    Out,
    Recorders,
    Refiner,
    Regressor,
    Segmenter,
    TimeFormat,
    UtcOffset,
    app,
    console,
    errors,
    escaped,
    hours_of,
    one_line_errors,
    progress_bar,
    working,
)
from whalefinder.words import count, duration

if TYPE_CHECKING:
    from whalefinder.archive.run import Archive, ArchiveSummary
    from whalefinder.options import Crew


@app.command()
def archive(
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FOLDER...", help="Folders, or addresses such as s3://bucket/prefix. Subfolders are read too."
        ),
    ] = None,
    array: Array = None,
    out: Out = Path("whalefinder-archive"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and do nothing else.")] = False,
    workers: Annotated[int, typer.Option("--workers", "-n", min=1, max=1024, help="Processes on this machine.")] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Address of a Dask cluster that does the work, as tcp://host:port.", show_default="this machine"
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(help="Work on part i of n only, as i/n. Then --merge writes the tables.", show_default="all"),
    ] = None,
    merge_only: Annotated[
        bool, typer.Option("--merge", help="Write the tables from the finished parts, and do no other work.")
    ] = False,
    segmenter: Segmenter = None,
    classifier: Classifier = None,
    time_format: TimeFormat = None,
    utc_offset: UtcOffset = None,
    recorders: Recorders = None,
    min_probability: MinProbability = None,
    all_events: AllEvents = False,
    method: Method = "network",
    regressor: Regressor = None,
    refiner: Refiner = None,
    deployment: Annotated[
        str | None,
        typer.Option(
            help="Also write OUT/dataset, a Parquet data set, with this name of the deployment.",
            show_default="no data set",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No plan, no progress bar, no summary.")] = False,
) -> None:
    """Find the calls in months of recordings, on one machine or many.

    If it was stopped, the same command continues. Writes OUT/detections.csv, tracks.csv, recordings.csv, problems.csv and, with an array,
    health.csv.

    Examples:
      whalefinder archive /media/summer --array array.toml --out results --dry-run

      whalefinder archive /media/summer -a array.toml -o results --workers 4

      whalefinder archive s3://bucket/2026 -a array.toml -o results --scheduler tcp://head:8786

      whalefinder archive /data -a array.toml -o /shared/results --shard 3/8   (then --merge --out /shared/results)
    """
    from whalefinder.errors import OptionError
    from whalefinder.options import Crew, LocateOptions

    with one_line_errors():
        options = LocateOptions(
            segmenter=segmenter, classifier=classifier, regressor=regressor, refiner=refiner, method=method, time_format=time_format,
            utc_offset=hours_of(utc_offset), recorders=recorders, min_probability=min_probability, all_events=all_events,
        )  # fmt: skip
        crew = Crew(workers, scheduler, shard)
        crew.check()  # at once, before anything large is imported
        from whalefinder.archive.run import Archive, merge
        from whalefinder.array.physics import oddities

        if merge_only:
            _conclude(merge(out, deployment), out, None, quiet)
            return
        if not folders:
            raise OptionError("no FOLDER: give one or more, or --merge to write the tables of the finished parts")
        with working("reading headers …"):
            found = Archive(folders, array, out, options)
        for line in oddities(found.job.array) if found.job.array is not None else ():
            errors.print(f"warning: {escaped(line)}", soft_wrap=True)
        if not quiet or dry_run:
            _show(found)
        if not dry_run:
            _conclude(_work(found, crew, deployment, quiet), out, shard, quiet)
        elif found.plan.unreadable:
            raise typer.Exit(1)


def _show(found: Archive) -> None:
    from whalefinder.archive.describe import complaints, describe

    table = Table(title="plan", show_header=False, title_justify="left")
    for what, value in describe(found.plan, found.done()):
        table.add_row(what, escaped(value))
    console.print(table)
    for line in complaints(found.plan):
        errors.print(escaped(line), soft_wrap=True)


def _work(found: Archive, crew: Crew, deployment: str | None, quiet: bool) -> ArchiveSummary:
    """Work with a progress bar. After Ctrl-C it says how to continue."""
    began = time.monotonic()
    with progress_bar(quiet) as progress:
        task = progress.add_task("archive", total=None, note="")

        def report(done_s: float, total_s: float, note: str) -> None:
            passed = time.monotonic() - began
            rate = done_s / passed if done_s else 0.0
            left = f"{rate:.0f} × real time, {duration((total_s - done_s) / rate)} left" if rate else "starting"
            progress.update(task, completed=done_s, total=total_s, note=escaped(f"{left}  {note}"))

        try:
            return found.run(crew, report, deployment)
        except KeyboardInterrupt as reason:
            done, units = len(found.done()), len(found.plan.units)
            progress.stop()
            errors.print(f"stopped; {done} of {units} units are done; run the same command again to continue")
            raise typer.Exit(130) from reason


def _conclude(summary: ArchiveSummary, out: Path, shard: str | None, quiet: bool) -> None:
    if not quiet:
        made = f"{count(summary.calls, 'call')}, {count(summary.tracks, 'track')} → {out}/detections.csv"
        if shard is not None:
            made = f"shard {shard} is done; when all are done: whalefinder archive --merge --out {out}"
        console.print(
            escaped(f"{summary.done:,} of {count(summary.units, 'unit')}, {duration(summary.seconds)}: {made}"),
            soft_wrap=True,
        )
    for row in summary.health.values():
        errors.print(escaped(f"warning: {row['recording']}: {row['finding']}; {row['remedy']}"), soft_wrap=True)
    for name, reason in summary.problems[:20]:
        errors.print(escaped(f"problem: {name}: {reason}"), soft_wrap=True)
    missing = summary.units - summary.done
    if missing:
        errors.print(f"{count(missing, 'unit')} without a result; run the same command again")
    if summary.problems:
        listed = f", see {escaped(str(out))}/problems.csv" if shard is None else "; --merge lists them in problems.csv"
        errors.print(f"[red]{count(len(summary.problems), 'problem')}[/]{listed}")
    if missing or summary.problems:
        raise typer.Exit(1)
