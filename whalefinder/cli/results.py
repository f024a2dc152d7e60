"""Commands on results: report, query, collect, convert, import-pamguard, compare."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from whalefinder.cli.common import Out, app, console, errors, escaped, one_line_errors
from whalefinder.errors import OptionError

MOST_ROWS = 100  # on a screen


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The --out folder of locate or archive.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The page; default: DIR/report.html.")] = None,
    recordings: Annotated[
        list[Path] | None, typer.Option(help="Where recordings are now, if they moved: a folder or file, repeatable.")
    ] = None,
    best: Annotated[int, typer.Option(min=0, max=50, help="How many of the clearest calls to show and play.")] = 12,
) -> None:
    """Put results on one page: when, from where, tracks, levels, the clearest calls to see and hear.

    The page is one file and loads nothing from a network.

    Example:
      whalefinder report results
    """
    from whalefinder.pages.report import write_report

    with one_line_errors():
        missing = write_report(folder, out, recordings=recordings or (), best=best)
        for line in missing:
            errors.print(f"missing on the page: {escaped(line)}", soft_wrap=True)
        console.print(f"page → {out or folder / 'report.html'}", soft_wrap=True)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="One SELECT over the views detections, tracks and recordings.")],
    source: Annotated[Path, typer.Option("--from", help="A data set (collect), or the --out folder of a run.")],
    kind: Annotated[str, typer.Option("--format", "-f", help="table, csv or json.")] = "table",
) -> None:
    """Ask results in SQL. Nothing is changed, no other file can be read, nothing is fetched.

    Example:
      whalefinder query "SELECT day, count(*) AS calls FROM detections GROUP BY day ORDER BY day" --from results
    """
    from whalefinder.results.query import query as ask

    with one_line_errors():
        if kind not in ("table", "csv", "json"):
            raise OptionError(f"--format {kind!r} is unknown; choose from table, csv, json")
        answer = ask(sql, source)
        if kind == "csv":
            rows = csv.writer(sys.stdout, lineterminator="\n")
            rows.writerow(answer.columns)
            rows.writerows(["" if cell is None else _text(cell) for cell in row] for row in answer.rows)
        elif kind == "json":
            found = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
            typer.echo(json.dumps(found, indent=1, default=_text))
        else:
            table = Table(*map(escaped, answer.columns))
            for row in answer.rows[:MOST_ROWS]:
                table.add_row(*("" if cell is None else escaped(_text(cell)) for cell in row))
            console.print(table)
            if len(answer.rows) > MOST_ROWS:
                errors.print(f"{MOST_ROWS} of {len(answer.rows)} rows; --format csv gives all")


def _text(cell: Any) -> str:
    """Times as in the other tables, numbers as they are."""
    return cell.isoformat(timespec="milliseconds") + "Z" if hasattr(cell, "hour") else str(cell)


@app.command()
def collect(
    outputs: Annotated[list[Path], typer.Argument(metavar="DIR...", help="--out folders of locate or archive.")],
    deployment: Annotated[str, typer.Option("--deployment", "-d", help="Name of what was recorded, as a folder's.")],
    out: Out = Path("whalefinder-dataset"),
) -> None:
    """Gather results into a Parquet data set, by deployment and day.

    What it held of this deployment before is replaced; other deployments stay.

    Example:
      whalefinder collect july august --deployment lime-kiln-2026 --out seasons
    """
    from whalefinder.results.dataset import collect as gather

    with one_line_errors():
        counts = gather(outputs, out, deployment)
        words = ", ".join(f"{count} rows of {name}" for name, count in counts.items())
        console.print(f"{words} → {out}/*/deployment={deployment}", soft_wrap=True)


@app.command()
def convert(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The --out folder of locate or archive.")],
    formats: Annotated[
        str, typer.Option("--format", "-f", help="parquet, raven, audacity, dcase, json, jsonl; comma-separated.")
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write; default: DIR.")] = None,
) -> None:
    """Write results in the formats of other programs, after the run.

    Example:
      whalefinder convert results --format raven,audacity
    """
    from whalefinder.results.dataset import read_output
    from whalefinder.results.formats import write_formats
    from whalefinder.results.tables import parse_formats

    with one_line_errors():
        wanted = parse_formats(formats)
        tables = read_output(folder, ("detections", "recordings"))
        written = write_formats(tables["detections"], out or folder, wanted, tables["recordings"])
        console.print(f"{len(written)} files → {out or folder}", soft_wrap=True)


@app.command("import-pamguard")
def import_pamguard(
    files: Annotated[list[Path], typer.Argument(help="Binary files (.pgdf) of clicks or whistles and moans.")],
    out: Out = Path("pamguard.csv"),
    heading: Annotated[float, typer.Option(help="Where the array's y axis pointed, degrees from true north.")] = 0.0,
    shape: Annotated[str | None, typer.Option(help="line, plane or volume; default: by the number of angles.")] = None,
) -> None:
    """Turn PAMGuard's detections into a table like detections.csv, bearings in our convention.

    Example:
      whalefinder import-pamguard Binary/*/*.pgdf --heading 30 --out pamguard.csv
    """
    from whalefinder.errors import RecordingError
    from whalefinder.results.pamguard import read_pamguard
    from whalefinder.results.schema import DETECTIONS, names
    from whalefinder.results.tables import write_table

    with one_line_errors():
        rows, failures = [], 0
        for path in files:
            said: list[str] = []
            try:
                rows += read_pamguard(path, heading_deg=heading, shape=shape, say=said.append)
            except RecordingError as reason:
                said.append(str(reason))
            failures += len(said)
            for line in said:
                errors.print(f"problem: {escaped(line)}", soft_wrap=True)
        rows.sort(key=lambda row: (row["start_utc"], row["recording"]))
        write_table(out, names(DETECTIONS), rows)
        console.print(f"{len(rows)} detections of {len(files)} files → {out}", soft_wrap=True)
        if failures:
            raise typer.Exit(1)


@app.command()
def compare(
    ours: Annotated[
        Path, typer.Argument(metavar="DIR", help="The --out folder of a run, or a table like detections.csv.")
    ],
    theirs: Annotated[Path, typer.Argument(metavar="TABLE", help="Another one, for example of import-pamguard.")],
    tolerance: Annotated[float, typer.Option(min=0, help="Seconds that two may lie apart.")] = 0.25,
) -> None:
    """Say what two tables have in common: who heard what, and how far their directions are apart.

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
        table.add_row("heard by both", str(found.ours_heard), str(found.theirs_heard))
        table.add_row("alone", str(found.ours - found.ours_heard), str(found.theirs - found.theirs_heard))
        console.print(table)
        if len(found.apart_deg):
            median, most = np.median(found.apart_deg), np.percentile(found.apart_deg, 90)
            console.print(
                f"directions of {len(found.apart_deg)} are {median:.2f}° apart (median; 90 % within {most:.2f}°)"
            )
