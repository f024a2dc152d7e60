"""Commands for recordings and arrays: locate, check, import-array, simulate, demo."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from whalefinder.cli.common import (
    AllEvents,
    Array,
    Classifier,
    File,
    Method,
    MinProbability,
    Out,
    Overwrite,
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
    seconds_of,
    working,
)
from whalefinder.words import count, duration


@app.command()
def locate(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings: WAV, W64, RF64, BW64, AIFF or FLAC files.")],
    array: Array = None,
    out: Out = Path("whalefinder-out"),
    formats: Annotated[
        str,
        typer.Option(
            "--format", "-f", help="One or more of csv, parquet, raven, audacity, dcase, json, jsonl, with commas."
        ),
    ] = "csv",
    segmenter: Segmenter = None,
    classifier: Classifier = None,
    start: Annotated[
        str | None,
        typer.Option(help="Begin of the part to search, in s or hh:mm:ss.", show_default="begin of the recording"),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(help="End of the part to search, in s or hh:mm:ss.", show_default="end of the recording"),
    ] = None,
    time_format: TimeFormat = None,
    utc_offset: UtcOffset = None,
    recorders: Recorders = None,
    min_probability: MinProbability = None,
    all_events: AllEvents = False,
    no_pictures: Annotated[bool, typer.Option("--no-pictures", help="Draw no picture (PNG) per recording.")] = False,
    method: Method = "network",
    regressor: Regressor = None,
    refiner: Refiner = None,
    correct: Annotated[
        bool, typer.Option("--correct", help="Mend polarity, gain, delay and order of channels that are found wrong.")
    ] = False,
    causal: Annotated[
        bool,
        typer.Option(
            "--causal", help="Make tracks from earlier calls alone, as at sea: by the LSTM, not the smoother."
        ),
    ] = False,
    append: Annotated[
        bool, typer.Option("--append", help="Add to the results in OUT. A recording that is there replaces its rows.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the results in OUT.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no summary.")] = False,
) -> None:
    """Find the calls in recordings, and the direction that each call came from.

    Writes OUT/detections.csv, tracks.csv, recordings.csv, health.csv and one picture per recording. If OUT holds results
    already, nothing is done, unless --append or --overwrite is given.

    Examples:
      whalefinder locate night.wav --array array.toml --out results

      whalefinder locate *.flac -a array.toml -o results --format csv,raven,parquet

      whalefinder locate morning.wav -a array.toml -o results --append

      whalefinder locate single.wav -o results        (one hydrophone: detections only)

      whalefinder locate night.wav -a array.toml -o results --start 1:10:00 --end 1:15:00

      whalefinder locate night.wav -a array.toml -o results --method steering

      whalefinder locate night.wav -a array.toml -o results --causal        (tracks as a live run would have them)
    """
    from whalefinder.errors import OptionError
    from whalefinder.options import LocateOptions
    from whalefinder.run import run_locate

    with one_line_errors():
        options = LocateOptions(
            segmenter=segmenter, classifier=classifier, regressor=regressor, refiner=refiner, method=method, time_format=time_format,
            utc_offset=hours_of(utc_offset), recorders=recorders, min_probability=min_probability, all_events=all_events,
        )  # fmt: skip
        begin_s = 0.0 if start is None else seconds_of(start, "--start")
        end_s = None if end is None else seconds_of(end, "--end")
        if end_s is not None and end_s <= begin_s:
            raise OptionError(f"`end` {end_s:g} s is not after `start` ({begin_s:g} s); end later, or leave it out")
        with progress_bar(quiet) as progress:
            task = progress.add_task("locate", total=None, note="")

            def report(done_s: float, total_s: float, note: str) -> None:
                progress.update(task, completed=done_s, total=total_s, note=escaped(note))

            summary = run_locate(
                recordings, array, out, options, formats=formats, pictures=not no_pictures, correct=correct,
                causal=causal, begin_s=begin_s, end_s=end_s, append=append, overwrite=overwrite, report=report,
                say=lambda text: errors.print(escaped(text), soft_wrap=True),
            )  # fmt: skip
        if not quiet and summary.recordings:
            heard = f"{duration(summary.seconds)} of {count(summary.recordings, 'recording')}"
            console.print(
                f"{count(summary.calls, 'call')} in {heard} → {escaped(str(out))}/detections.csv", soft_wrap=True
            )
        if summary.failures:
            errors.print(f"[red]{count(summary.failures, 'problem')}[/] (see above)")
            raise typer.Exit(1)


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="An array file (TOML), or recordings with --array.")],
    array: Annotated[
        Path | None, typer.Option("--array", "-a", help="Array file of the recordings.", show_default="FILES is one")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="The picture of the array (PNG).", show_default="ARRAY with .png")
    ] = None,
    out: Out = Path("whalefinder-check"),
    overwrite: Overwrite = False,
) -> None:
    """Draw an array and list what it can measure, or hear in recordings whether all of its hydrophones are in order.

    With recordings: which channels are silent, deaf, inverted, louder, late, drifting, swapped or copied.
    Writes OUT/health.csv and one picture per recording.

    Examples:
      whalefinder check array.toml

      whalefinder check night.wav --array array.toml --out health
    """
    from whalefinder.array.array_file import load_array
    from whalefinder.array.describe import describe
    from whalefinder.array.physics import oddities
    from whalefinder.errors import OptionError
    from whalefinder.files import untouched
    from whalefinder.pages.plots import draw_array

    with one_line_errors():
        if array is not None:
            _check_recordings(files, array, out, overwrite)
            return
        if len(files) > 1 or files[0].suffix.lower() in (".wav", ".flac", ".w64", ".rf64"):
            raise OptionError(f"{files[0]} is no array file; give the array of recordings with `array`")
        target = file or files[0].with_suffix(".png")
        if target.suffix.lower() != ".png":
            raise OptionError(f"`file` {target}: the picture is a PNG; give a name that ends in .png")
        loaded = load_array(files[0])
        table = Table(title=f"array {loaded.name}", show_header=False, title_justify="left")
        for what, value in describe(loaded):
            table.add_row(what, escaped(value))
        console.print(table)
        _warn(oddities(loaded))
        untouched([target], overwrite=overwrite)
        draw_array(loaded, target)
        console.print(f"drawn → {escaped(str(target))}", soft_wrap=True)


def _check_recordings(recordings: list[Path], array: Path, out: Path, overwrite: bool) -> None:
    from whalefinder.health.check import check_recordings

    with progress_bar() as progress:
        task = progress.add_task("check", total=None, note="")

        def report(done_s: float, total_s: float, note: str) -> None:
            progress.update(task, completed=done_s, total=total_s, note=escaped(note))

        rows, failures = check_recordings(
            recordings,
            array,
            out,
            report,
            lambda text: errors.print(escaped(text), soft_wrap=True),
            overwrite=overwrite,
        )
    table = Table(title="health of the array", title_justify="left")
    for name in ("recording", "finding", "remedy"):
        table.add_column(name)
    for row in rows:
        table.add_row(*(escaped(row[name]) for name in ("recording", "finding", "remedy")))
    if rows:
        console.print(table)
    heard = count(len(recordings) - failures, "recording")
    console.print(
        f"{count(len(rows), 'finding')} in {heard} → {escaped(str(out))}/health.csv and pictures", soft_wrap=True
    )
    if failures:
        errors.print(f"[red]{count(failures, 'problem')}[/] (see above)")
        raise typer.Exit(1)


@app.command("import-array")
def import_array(
    table: Annotated[
        Path, typer.Argument(help="Table of x, y, z in metres (CSV or text), or of PAMGuard or XAV-arrays.")
    ],
    sound_speed: Annotated[
        float | None,
        typer.Option(
            help="Sound speed, m/s. In sea water it is about 1480.", show_default="column sound_speed_m_s of the table"
        ),
    ] = None,
    file: File = Path("array.toml"),
    depth: Annotated[float | None, typer.Option(help="Depth of the array's origin, m.", show_default="unknown")] = None,
    heading: Annotated[
        float, typer.Option(min=-360, max=360, help="Direction of the y axis, degrees clockwise from true north.")
    ] = 0.0,
    pitch: Annotated[float, typer.Option(min=-90, max=90, help="Tilt, degrees: positive lifts the y axis.")] = 0.0,
    roll: Annotated[float, typer.Option(min=-180, max=180, help="Tilt, degrees: positive lowers the x axis.")] = 0.0,
    position_error: Annotated[
        float | None,
        typer.Option(
            min=0, help="Error of each position, m: one sigma per axis.", show_default="as in the table, or none"
        ),
    ] = None,
    timing_error: Annotated[
        float | None, typer.Option(min=0, help="Error of each channel's time, s: one sigma.", show_default="none")
    ] = None,
    sound_speed_error: Annotated[
        float | None, typer.Option(min=0, help="Error of the sound speed, m/s: one sigma.", show_default="none")
    ] = None,
    min_range: Annotated[float | None, typer.Option(help="No animal is nearer, m.", show_default="20")] = None,
    file_pattern: Annotated[
        str | None,
        typer.Option(
            help="Names of the files, if each channel has its own: 'AMAR*.{channel}.*.wav'.",
            show_default="one file with all channels",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make an array file from a table of hydrophones.

    The table's x, y, z are starboard, forward and up. --heading, --pitch and --roll turn them to east, north and up.

    Examples:
      whalefinder import-array hydrophones.csv --sound-speed 1484 --file array.toml

      whalefinder import-array hydrophones.csv --sound-speed 1484 --depth 8 --heading 30 --position-error 0.005
    """
    from whalefinder.array.array_file import save_array
    from whalefinder.array.hydrophone_table import import_table
    from whalefinder.array.physics import oddities
    from whalefinder.files import untouched

    with one_line_errors():
        untouched([file], overwrite=overwrite)
        loaded = import_table(
            table, sound_speed, depth_m=depth, heading_deg=heading, pitch_deg=pitch, roll_deg=roll,
            position_error_m=position_error, timing_error_s=timing_error, sound_speed_error_m_s=sound_speed_error,
            min_range_m=min_range, file_pattern=file_pattern, say=lambda line: _warn([line]),
        )  # fmt: skip
        _warn(oddities(loaded))
        save_array(loaded, file)
        console.print(f"array → {escaped(str(file))}", soft_wrap=True)


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        errors.print(f"warning: {escaped(line)}", soft_wrap=True)


@app.command()
def simulate(
    out: Out = Path("whalefinder-sea"),
    array: Annotated[
        Path | None,
        typer.Option("--array", "-a", help="Array file (TOML).", show_default="a 0.5 m tetrahedron at 1.5 m depth"),
    ] = None,
    seconds: Annotated[float, typer.Option(min=2, max=300, help="Length of the recording, s.")] = 30.0,
    calls: Annotated[int, typer.Option(min=0, max=1000, help="Number of calls.")] = 4,
    boats: Annotated[int, typer.Option(min=0, max=20, help="Number of boats.")] = 2,
    snr: Annotated[
        float, typer.Option(min=-100, max=100, help="Power of a call over ambient, dB, in 0.5-12 kHz.")
    ] = 5.0,
    sir: Annotated[
        float, typer.Option(min=-100, max=100, help="Power of the first call over all boats together, dB.")
    ] = -5.0,
    surface: Annotated[
        float, typer.Option(min=-1, max=1, help="Amplitude of the surface echo, for example -0.8.")
    ] = 0.0,
    roughness: Annotated[float, typer.Option(min=0, max=30, help="Height of the waves on the surface, m r.m.s.")] = 0.0,
    diffuse: Annotated[
        bool,
        typer.Option("--diffuse", help="Wind noise from all directions, instead of independent noise per hydrophone."),
    ] = False,
    position_error: Annotated[
        float, typer.Option(min=0, max=100, help="Fault: error of each position, m per axis.")
    ] = 0.0,
    timing_error: Annotated[float, typer.Option(min=0, max=1, help="Fault: error of each channel's time, s.")] = 0.0,
    gain_error: Annotated[float, typer.Option(min=0, max=60, help="Fault: error of each channel's gain, dB.")] = 0.0,
    sound_speed_error: Annotated[
        float, typer.Option(min=0, max=200, help="Fault: error of the sound speed, m/s.")
    ] = 0.0,
    calls_from: Annotated[
        Path | None, typer.Option(help="Folder with recordings of calls.", show_default="simulated calls")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The same seed gives the same recording.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Simulate a recording with calls and boats. Writes OUT/simulated.wav, array.toml and truth.csv (the true directions).

    Example:
      whalefinder simulate --out sea --boats 3 --sir -10 && whalefinder locate sea/simulated.wav -a sea/array.toml
    """
    from whalefinder.array.array_file import load_array
    from whalefinder.array.geometry import HydrophoneArray, tetrahedron
    from whalefinder.sea.scene import Faults
    from whalefinder.sea.writing import Plan, draw_scene, write_simulation

    with one_line_errors():
        loaded = (
            load_array(array)
            if array
            else HydrophoneArray(name="tetrahedron", positions_m=tetrahedron(0.5), sound_speed_m_s=1485.0, depth_m=1.5)
        )
        faults = Faults(position_error, timing_error, gain_error, sound_speed_error)
        plan = Plan(
            seconds=seconds,
            calls=calls,
            boats=boats,
            snr_db=snr,
            sir_db=sir,
            surface_coefficient=surface,
            roughness_m=roughness,
            diffuse=diffuse,
            faults=faults,
            calls_from=calls_from,
        )
        with working("simulating …"):
            sea = write_simulation(draw_scene(plan, loaded, seed), seed, out, overwrite=overwrite)
        console.print(
            f"{count(len(sea.truth), 'call')}, {count(boats, 'boat')}, {duration(seconds)} → "
            f"{escaped(str(out))}/simulated.wav, array.toml, truth.csv",
            soft_wrap=True,
        )


@app.command()
def demo(out: Out = Path("whalefinder-demo")) -> None:
    """Simulate a whale that swims past four hydrophones while boats cross, and find its calls.

    Prints a table of true and found directions. Writes the recording, tables and pictures, in place of those
    of an earlier demonstration. Takes about 20 seconds.

    Example:
      whalefinder demo --out demo
    """
    from whalefinder import demo as william
    from whalefinder.evaluation.metrics import bearing_error_deg, match

    with one_line_errors():
        with working("simulating the sea and finding the calls …"):
            truth, found = william.run(out)
        table = Table(title="one minute of simulated sea: directions of each call, in degrees")
        for name in (
            "at\n(s)",
            "SIR\n(dB)",
            "true\nazimuth",
            "true\nelevation",
            "found\nazimuth",
            "found\nelevation",
            "error",
        ):
            table.add_column(name, justify="right")
        for call in truth:
            row = [f"{call.begin_s:.1f}", f"{call.sir_db:.0f}", f"{call.azimuth_deg:.2f}", f"{call.elevation_deg:.2f}"]
            hit = match(call, found)
            if hit is None or hit.azimuth_deg is None or hit.elevation_deg is None:
                table.add_row(*row, "missed", "", "")
                continue
            error = bearing_error_deg(call.azimuth_deg, call.elevation_deg, hit.azimuth_deg, hit.elevation_deg)
            azimuth = f"{hit.azimuth_deg:.2f} ± {hit.azimuth_sd_deg:.2f}"
            table.add_row(*row, azimuth, f"{hit.elevation_deg:.2f} ± {hit.elevation_sd_deg:.2f}", f"{error:.2f}")
        console.print(table)
        console.print(f"recording, tables and pictures → {escaped(str(out))}/")
