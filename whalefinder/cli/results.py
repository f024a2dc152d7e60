"""Commands for results: report, query, collect, convert, import-pamguard, compare."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from whalefinder.cli.common import (
    File,
    Out,
    Overwrite,
    app,
    console,
    errors,
    escaped,
    one_line_errors,
    progress_bar,
    working,
)
from whalefinder.errors import OptionError
from whalefinder.words import count

if TYPE_CHECKING:
    from whalefinder.results.query import Answer

MOST_ROWS = 100  # on a screen


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The --out folder of locate or archive.")],
    file: Annotated[
        Path | None, typer.Option("--file", help="The page to write.", show_default="DIR/report.html")
    ] = None,
    recordings: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder or file of recordings that have moved. May be given several times.",
            show_default="where they were",
        ),
    ] = None,
    best: Annotated[int, typer.Option(min=0, max=50, help="Number of the clearest calls to show and play.")] = 12,
    overwrite: Overwrite = False,
) -> None:
    """Make one HTML page of results: calls per day and hour, bearings, tracks, levels, and the clearest calls with sound.

    The page is one file. It loads nothing from a network.

    Example:
      whalefinder report results
    """
    from whalefinder.files import untouched
    from whalefinder.optional import needs
    from whalefinder.pages.report import write_report

    with one_line_errors():
        needs("jinja2", what="whalefinder report")  # now, not after everything is drawn
        untouched([file or folder / "report.html"], overwrite=overwrite)
        with working("drawing the page …"):
            missing = write_report(folder, file, recordings=recordings or (), best=best)
        for line in missing:
            errors.print(f"not on the page: {escaped(line)}", soft_wrap=True)
        console.print(f"page → {escaped(str(file or folder / 'report.html'))}", soft_wrap=True)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="One SELECT over the views detections, tracks and recordings.")],
    source: Annotated[Path, typer.Option("--from", help="The --out folder of a run, or a data set made by collect.")],
    kind: Annotated[str, typer.Option("--format", "-f", help="How to print the answer: table, csv or json.")] = "table",
    columns: Annotated[
        str | None, typer.Option(help="Columns to print, with commas.", show_default="those that fit the screen")
    ] = None,
) -> None:
    """Answer a question about results in SQL. It changes nothing, and reads no other file and no network.

    Examples:
      whalefinder query "SELECT day, count(*) AS calls FROM detections GROUP BY day ORDER BY day" --from results

      whalefinder query "SELECT * FROM detections" --from results --columns start_utc,label,level_db
    """
    from whalefinder.results.query import query as ask
    from whalefinder.results.query import text_of

    with one_line_errors():
        if kind not in ("table", "csv", "json"):
            raise OptionError(f"--format {kind!r} is unknown; choose from table, csv, json")
        answer = ask(sql, source)
        if columns is not None:
            answer = answer.only([name.strip() for name in columns.split(",") if name.strip()])
        if kind == "csv":
            rows = csv.writer(sys.stdout, lineterminator="\n")
            rows.writerow(answer.columns)
            rows.writerows(map(text_of, row) for row in answer.rows)
        elif kind == "json":
            found = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
            typer.echo(json.dumps(found, indent=1, default=text_of))
        else:
            _as_table(answer, columns is not None)


def _as_table(answer: Answer, chosen: bool) -> None:
    """Print at most `MOST_ROWS` rows, with the chosen columns or those that fit, and say what is left out."""
    from whalefinder.results.query import Answer, text_of

    shown = Answer(answer.columns, answer.rows[:MOST_ROWS])
    if not chosen:
        shown = shown.fitting(console.width)
    table = Table()
    for place, name in enumerate(shown.columns):
        numbers = any(isinstance(row[place], int | float) for row in shown.rows)
        table.add_column(escaped(name), justify="right" if numbers else "left")
    for row in shown.rows:
        table.add_row(*(escaped(text_of(cell)) for cell in row))
    console.print(table)
    if len(shown.columns) < len(answer.columns):
        left = len(answer.columns) - len(shown.columns)
        errors.print(
            f"{count(left, 'column')} not shown; choose with --columns, --format csv gives all", soft_wrap=True
        )
    if len(shown.rows) < len(answer.rows):
        errors.print(f"{MOST_ROWS} of {len(answer.rows):,} rows shown; --format csv gives all", soft_wrap=True)


@app.command()
def collect(
    outputs: Annotated[list[Path], typer.Argument(metavar="DIR...", help="--out folders of locate or archive.")],
    deployment: Annotated[
        str, typer.Option("--deployment", "-d", help="Name of the deployment; it becomes the name of a folder.")
    ],
    out: Out = Path("whalefinder-dataset"),
) -> None:
    """Gather results into a Parquet data set, by deployment and day.

    Older data of the same deployment are replaced. Other deployments stay.

    Example:
      whalefinder collect july august --deployment lime-kiln-2026 --out seasons
    """
    from whalefinder.files import locked
    from whalefinder.results.dataset import collect as gather

    with one_line_errors():
        with working("gathering …"), locked(out):
            counts = gather(outputs, out, deployment)
        words = ", ".join(f"{count} rows of {name}" for name, count in counts.items())
        console.print(f"{words} → {escaped(str(out))}/*/deployment={deployment}", soft_wrap=True)


@app.command()
def convert(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The --out folder of locate or archive.")],
    formats: Annotated[
        str,
        typer.Option(
            "--format", "-f", help="One or more of parquet, raven, audacity, dcase, json, jsonl, with commas."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for the results. It is made if it does not exist.", show_default="DIR"
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the results of a run in the formats of other programs.

    Example:
      whalefinder convert results --format raven,audacity
    """
    from whalefinder.files import locked
    from whalefinder.results.dataset import read_output
    from whalefinder.results.formats import write_formats
    from whalefinder.results.tables import parse_formats

    with one_line_errors():
        wanted = parse_formats(formats)
        with working("converting …"), locked(out or folder):
            tables = read_output(folder, ("detections", "recordings"))
            written = write_formats(
                tables["detections"], out or folder, wanted, tables["recordings"], overwrite=overwrite
            )
        console.print(f"{count(len(written), 'file')} → {escaped(str(out or folder))}", soft_wrap=True)


@app.command("import-pamguard")
def import_pamguard(
    files: Annotated[
        list[Path], typer.Argument(help="PAMGuard's binary files (.pgdf) of clicks, or of whistles and moans.")
    ],
    file: File = Path("pamguard.csv"),
    heading: Annotated[
        float,
        typer.Option(min=-360, max=360, help="Direction of the array's y axis, degrees clockwise from true north."),
    ] = 0.0,
    shape: Annotated[
        str | None,
        typer.Option(help="Shape of the array: line, plane or volume.", show_default="from the number of angles"),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn PAMGuard's detections into a table like detections.csv, with azimuth clockwise from true north.

    Example:
      whalefinder import-pamguard Binary/*/*.pgdf --heading 30 --file pamguard.csv
    """
    from whalefinder.errors import RecordingError
    from whalefinder.files import untouched
    from whalefinder.results.pamguard import read_pamguard
    from whalefinder.results.schema import DETECTIONS, names
    from whalefinder.results.tables import write_table

    with one_line_errors():
        untouched([file], overwrite=overwrite)
        rows: list[dict[str, Any]] = []
        said: list[str] = []
        with progress_bar() as progress:
            task = progress.add_task("import", total=len(files), note="")
            for done, path in enumerate(files):
                progress.update(task, completed=done, note=escaped(path.name))
                try:
                    rows += read_pamguard(path, heading_deg=heading, shape=shape, say=said.append)
                except RecordingError as reason:
                    said.append(str(reason))
        for line in said:
            errors.print(f"problem: {escaped(line)}", soft_wrap=True)
        rows.sort(key=lambda row: (row["start_utc"], row["recording"]))
        write_table(file, names(DETECTIONS), rows)
        console.print(
            f"{count(len(rows), 'detection')} of {count(len(files), 'file')} → {escaped(str(file))}", soft_wrap=True
        )
        if said:
            raise typer.Exit(1)


@app.command()
def compare(
    ours: Annotated[
        Path, typer.Argument(metavar="DIR", help="The --out folder of a run, or a table like detections.csv.")
    ],
    theirs: Annotated[
        Path, typer.Argument(metavar="TABLE", help="The table to compare with, for example from import-pamguard.")
    ],
    tolerance: Annotated[
        float, typer.Option(min=0, help="Largest gap in time between two detections of one call, s.")
    ] = 0.25,
) -> None:
    """Count the calls that two tables have in common, and say how far their directions are apart.

    Example:
      whalefinder compare results pamguard.csv
    """
    import numpy as np

    from whalefinder.results.compare import compare as side_by_side
    from whalefinder.results.formats import read_rows
    from whalefinder.results.schema import DETECTIONS

    with one_line_errors():
        first, second = (
            read_rows(path / "detections.csv" if path.is_dir() else path, DETECTIONS) for path in (ours, theirs)
        )
        found = side_by_side(first, second, tolerance)
        table = Table("", escaped(str(ours)), escaped(str(theirs)))
        table.add_row("detections", str(found.ours), str(found.theirs))
        table.add_row("in both", str(found.ours_heard), str(found.theirs_heard))
        table.add_row("in this one only", str(found.ours - found.ours_heard), str(found.theirs - found.theirs_heard))
        console.print(table)
        if len(found.apart_deg):
            median, most = np.median(found.apart_deg), np.percentile(found.apart_deg, 90)
            console.print(
                f"directions of {len(found.apart_deg)} are {median:.2f}° apart (median; 90 % within {most:.2f}°)"
            )
