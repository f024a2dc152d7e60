"""Commands on recordings and arrays: locate, check, import-array, simulate, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from whalefinder.cli.common import (
    AllEvents,
    Array,
    Method,
    MinProbability,
    Out,
    Regressor,
    TimeFormat,
    Weights,
    app,
    console,
    errors,
    escaped,
    one_line_errors,
    progress_bar,
)


@app.command()
def locate(
    recordings: Annotated[list[Path], typer.Argument(help="WAV, W64, RF64 or FLAC files.")],
    array: Array = None,
    out: Out = Path("whalefinder-out"),
    formats: Annotated[
        str, typer.Option("--format", "-f", help="csv, parquet, raven, audacity, dcase, json, jsonl; comma-separated.")
    ] = "csv",
    weights: Weights = None,
    time_format: TimeFormat = None,
    min_probability: MinProbability = None,
    all_events: AllEvents = False,
    pictures: Annotated[bool, typer.Option(help="Write one PNG per recording.")] = True,
    method: Method = "steering",
    regressor: Regressor = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no summary.")] = False,
) -> None:
    """Find the calls in recordings and where each came from.

    Writes DIR/detections.csv and one picture per recording.

    Examples:
      whalefinder locate night.wav --array array.toml --out results

      whalefinder locate *.flac -a array.toml -o results --format csv,raven,parquet

      whalefinder locate single.wav -o results        (one hydrophone: detections only)

      whalefinder locate night.wav -a array.toml -o results --method network
    """
    from whalefinder.run import RunOptions, run_locate

    options = RunOptions(formats, weights, time_format, min_probability, all_events, pictures, method, regressor)
    with one_line_errors():
        with progress_bar(quiet) as progress:
            task = progress.add_task("locate", total=None, note="")

            def report(done_s: float, total_s: float, note: str) -> None:
                progress.update(task, completed=done_s, total=total_s, note=escaped(note))

            summary = run_locate(
                recordings, array, out, options, report, lambda text: errors.print(escaped(text), soft_wrap=True)
            )
        if not quiet:
            console.print(
                f"{summary.calls} calls in {summary.hours:.3g} h of {summary.recordings} recordings → {out}/detections.csv"
            )
        if summary.failures:
            errors.print(f"[red]{summary.failures} problem{'s' * (summary.failures != 1)}[/] (see above)")
            raise typer.Exit(1)


@app.command()
def check(
    array: Annotated[Path, typer.Argument(help="Array file (TOML).")],
    picture: Annotated[Path | None, typer.Option(help="Where to draw it; default: beside the file, as PNG.")] = None,
) -> None:
    """Draw an array and say what it can tell: ambiguities, aliasing, expected error.

    Example:
      whalefinder check array.toml
    """
    from whalefinder.array.array_file import load_array
    from whalefinder.array.describe import describe
    from whalefinder.pages.plots import draw_array

    with one_line_errors():
        loaded = load_array(array)
        table = Table(title=f"array {loaded.name}", show_header=False, title_justify="left")
        for what, value in describe(loaded):
            table.add_row(what, escaped(value))
        console.print(table)
        target = picture or array.with_suffix(".png")
        draw_array(loaded, target)
        console.print(f"drawn → {target}")


@app.command("import-array")
def import_array(
    table: Annotated[Path, typer.Argument(help="Hydrophone CSV of PAMGuard or XAV-arrays.")],
    sound_speed: Annotated[float, typer.Option(help="Metres per second; sea water is about 1480.")],
    out: Out = Path("array.toml"),
    depth: Annotated[float | None, typer.Option(help="Depth of the array's origin, metres.")] = None,
    file_pattern: Annotated[
        str | None, typer.Option(help="For one mono file per channel: 'AMAR*.{channel}.*.wav'.")
    ] = None,
) -> None:
    """Turn another program's hydrophone table into an array file.

    Example:
      whalefinder import-array hydrophones.csv --sound-speed 1484 --out array.toml
    """
    from dataclasses import replace

    from whalefinder.array.array_file import import_csv, save_array
    from whalefinder.files import writing

    with one_line_errors(), writing(out):
        save_array(replace(import_csv(table, sound_speed, depth_m=depth), file_pattern=file_pattern), out)
        console.print(f"array → {out}")


@app.command()
def simulate(
    out: Out = Path("whalefinder-sea"),
    array: Annotated[
        Path | None, typer.Option("--array", "-a", help="Array file; default: a 0.5 m tetrahedron at 1.5 m.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=2, max=300, help="It is made in memory.")] = 30.0,
    calls: Annotated[int, typer.Option(min=0, max=1000)] = 4,
    boats: Annotated[int, typer.Option(min=0, max=20)] = 2,
    snr: Annotated[float, typer.Option(help="Call over ambient noise, dB in 0.5-12 kHz.")] = 5.0,
    sir: Annotated[float, typer.Option(help="First call over all boats, dB.")] = -5.0,
    surface: Annotated[float, typer.Option(help="Amplitude of the surface image, for example -0.8.")] = 0.0,
    roughness: Annotated[float, typer.Option(help="Height of the surface, r.m.s. metres.")] = 0.0,
    diffuse: Annotated[
        bool, typer.Option(help="Wind noise from all sides instead of independent hydrophones.")
    ] = False,
    position_error: Annotated[float, typer.Option(help="Fault: metres per axis and hydrophone.")] = 0.0,
    timing_error: Annotated[float, typer.Option(help="Fault: seconds per hydrophone.")] = 0.0,
    gain_error: Annotated[float, typer.Option(help="Fault: dB per hydrophone.")] = 0.0,
    sound_speed_error: Annotated[float, typer.Option(help="Fault: metres per second.")] = 0.0,
    calls_from: Annotated[Path | None, typer.Option(help="Folder of real call clips to use instead.")] = None,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Write a simulated recording, its array file and the truth.

    Example:
      whalefinder simulate --out sea --boats 3 --sir -10 && whalefinder locate sea/simulated.wav -a sea/array.toml
    """
    from whalefinder.array.array_file import load_array
    from whalefinder.array.geometry import HydrophoneArray, tetrahedron
    from whalefinder.sea.scene import Faults
    from whalefinder.sea.writing import Plan, draw_scene, write_simulation

    with one_line_errors():
        loaded = load_array(array) if array else HydrophoneArray("tetrahedron", tetrahedron(0.5), 1485.0, depth_m=1.5)
        faults = Faults(position_error, timing_error, gain_error, sound_speed_error)
        plan = Plan(seconds, calls, boats, snr, sir, surface, roughness, diffuse, faults, calls_from)
        sea = write_simulation(draw_scene(plan, loaded, seed), seed, out)
        console.print(
            f"{len(sea.truth)} calls, {boats} boats, {seconds:g} s → {out}/simulated.wav, array.toml, truth.csv"
        )


@app.command()
def demo(out: Out = Path("whalefinder-demo")) -> None:
    """William swims past a four-phone array while boats cross: locate him, show the truth beside it.

    Example:
      whalefinder demo --out demo
    """
    from whalefinder import demo as william
    from whalefinder.evaluation.metrics import bearing_error_deg, match

    with one_line_errors():
        with console.status("William is swimming …"):
            truth, found = william.run(out)
        table = Table(
            "call",
            "at",
            "call over boats",
            "azimuth",
            "elevation",
            "found azimuth",
            "found elevation",
            "error",
            title="William",
        )
        for number, call in enumerate(truth, start=1):
            hit = match(call, found)
            row = [
                str(number),
                f"{call.begin_s:.1f} s",
                f"{call.sir_db:.0f} dB",
                f"{call.azimuth_deg:.2f}°",
                f"{call.elevation_deg:.2f}°",
            ]
            if hit is None or hit.azimuth_deg is None or hit.elevation_deg is None:
                table.add_row(*row, "missed", "", "")
                continue
            error = bearing_error_deg(call.azimuth_deg, call.elevation_deg, hit.azimuth_deg, hit.elevation_deg)
            found_angles = (
                f"{hit.azimuth_deg:.2f}° ± {hit.azimuth_sd_deg:.2f}",
                f"{hit.elevation_deg:.2f}° ± {hit.elevation_sd_deg:.2f}",
            )
            table.add_row(*row, *found_angles, f"{error:.2f}°")
        console.print(table)
        console.print(f"table and pictures → {out}/")
