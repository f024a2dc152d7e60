"""The command that calibrates an array by boats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from whalefinder.cli.common import (
    Out,
    Overwrite,
    Quiet,
    TimeFormat,
    UtcOffset,
    app,
    console,
    errors,
    escaped,
    hours_of,
    one_line_errors,
    progress_bar,
)


@app.command()
def calibrate(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings in which boats pass.")],
    array: Annotated[Path, typer.Option("--array", "-a", help="Array file (TOML). It is not changed.")],
    out: Out = Path("whalefinder-calibration"),
    track: Annotated[
        Path | None,
        typer.Option(
            help="Tracks of the boats (CSV): time (UTC), latitude and longitude or east_m and north_m, boat.",
            show_default="the paths are unknown",
        ),
    ] = None,
    place: Annotated[
        str | None,
        typer.Option(
            metavar="LAT,LON",
            help="Where the array is, in degrees: 48.5158,-123.1528.",
            show_default="the track is in metres from the array",
        ),
    ] = None,
    time_format: TimeFormat = None,
    utc_offset: UtcOffset = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Correct the places, delays, gains and sound speed of an array by the boats that pass it.

    Writes OUT/array.toml (a new array file with the errors that are left), calibration.csv (every sound, with its misfit
    before and after) and calibration.png. Says what the boats could not tell. With --track the heading is found too.

    Examples:
      whalefinder calibrate morning.wav noon.wav --array array.toml --out calibrated

      whalefinder calibrate *.flac -a array.toml -o calibrated --track ais.csv --place 48.5158,-123.1528

      whalefinder locate night.wav -a calibrated/array.toml -o results     (the next step)
    """
    from whalefinder.calibration.report import channel_rows, notes, summary
    from whalefinder.calibration.run import calibrate_recordings
    from whalefinder.sound.recorders import times_of

    with one_line_errors():
        with progress_bar(quiet) as progress:
            task = progress.add_task("calibrate", total=None, note="")

            def report(done_s: float, total_s: float, note: str) -> None:
                progress.update(task, completed=done_s, total=total_s, note=escaped(note))

            found = calibrate_recordings(
                recordings, array, out, track=track, place=place,
                times=times_of(time_format, hours_of(utc_offset), None), report=report,
                say=lambda text: errors.print(escaped(text), soft_wrap=True), overwrite=overwrite,
            )  # fmt: skip
        table = Table(
            title=f"array {escaped(found.before.name)}: before → after", show_header=False, title_justify="left"
        )
        for what, words in summary(found):
            table.add_row(what, escaped(words))
        console.print(table)
        table = Table(title="channels: what was found, ± one sigma", title_justify="left")
        for name in ("channel", "east (mm)", "north (mm)", "up (mm)", "late (µs)", "gain (dB)"):
            table.add_column(name, justify="right")
        for row in channel_rows(found):
            table.add_row(*row)
        console.print(table)
        for line in notes(found):
            errors.print(f"note: {escaped(line)}", soft_wrap=True)
        console.print(f"new array file → {escaped(str(out))}/array.toml", soft_wrap=True)
