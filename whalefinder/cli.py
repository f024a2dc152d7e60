"""The command line: thin. Each command parses, calls the library, prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from whalefinder.errors import OptionError, WhalefinderError

app = typer.Typer(
    name="whalefinder",
    help="Finds a whale by ear: when it called, in which direction, how sure, even while boats are louder.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
train_app = typer.Typer(help="Train the networks that ship with whalefinder.", no_args_is_help=True)
app.add_typer(train_app, name="train")
console, errors = Console(highlight=False), Console(stderr=True, highlight=False)

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; made if it is not there.")]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What whalefinder can name is said in one line, exit code 1; Ctrl-C is 130."""
    try:
        yield
    except WhalefinderError as reason:
        errors.print(f"[red]error:[/] {_escaped(str(reason))}", soft_wrap=True)
        raise typer.Exit(1) from reason
    except KeyboardInterrupt as reason:
        errors.print("stopped; everything found so far is written")
        raise typer.Exit(130) from reason


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")


def _progress(quiet: bool = False) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(), TimeRemainingColumn(), console=errors, disable=quiet,
    )  # fmt: skip


@app.command()
def locate(
    recordings: Annotated[list[Path], typer.Argument(help="WAV, W64, RF64 or FLAC files.")],
    array: Annotated[
        Path | None, typer.Option("--array", "-a", help="Array file (TOML); without it: no bearings.")
    ] = None,
    out: Out = Path("whalefinder-out"),
    formats: Annotated[
        str, typer.Option("--format", "-f", help="csv, parquet, raven, dcase, json; comma-separated.")
    ] = "csv",
    weights: Annotated[
        Path | None, typer.Option(help="Another segmenter (.safetensors); default: the shipped one.")
    ] = None,
    time_format: Annotated[str | None, typer.Option(help="strptime format of the start time in file names.")] = None,
    min_probability: Annotated[
        float | None, typer.Option(min=0, max=1, help="Report calls from this probability on.")
    ] = None,
    all_events: Annotated[bool, typer.Option("--all", help="Also report events that are probably no call.")] = False,
    pictures: Annotated[bool, typer.Option(help="Write one PNG per recording.")] = True,
    method: Annotated[
        str, typer.Option(help="Bearings by steering (any array) or by network (the regressor of one array).")
    ] = "steering",
    regressor: Annotated[
        Path | None, typer.Option(help="Weights for --method network; default: those of the 0.5 m tetrahedron.")
    ] = None,
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
        with _progress(quiet) as progress:
            task = progress.add_task("locate", total=None, note="")

            def report(done_s: float, total_s: float, note: str) -> None:
                progress.update(task, completed=done_s, total=total_s, note=_escaped(note))

            summary = run_locate(
                recordings, array, out, options, report, lambda text: errors.print(_escaped(text), soft_wrap=True)
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
    from whalefinder.arrays import load_array
    from whalefinder.inspect_array import describe
    from whalefinder.plots import draw_array

    with one_line_errors():
        loaded = load_array(array)
        table = Table(title=f"array {loaded.name}", show_header=False, title_justify="left")
        for what, value in describe(loaded):
            table.add_row(what, _escaped(value))
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

    from whalefinder.arrays import import_csv, save_array
    from whalefinder.tables import writing

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
    from whalefinder.arrays import load_array
    from whalefinder.geometry import HydrophoneArray, tetrahedron
    from whalefinder.sea import Faults
    from whalefinder.simulated import Plan, draw_scene, write_simulation

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
    from whalefinder.metrics import bearing_error_deg, match

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


@train_app.command("segmenter")
def train_segmenter(
    out: Out = Path("runs/segmenter"),
    steps: Annotated[int, typer.Option(min=1, help="Batches of 8 examples of 4 s.")] = 3800,
    hidden_channels: Annotated[int, typer.Option(min=4, help="Width of the first layer; 96 is the paper's.")] = 16,
    seed: Annotated[int, typer.Option(min=0, max=999_999, help="Benchmark seeds start at 10^9.")] = 1,
    normalise: Annotated[
        bool, typer.Option(help="Batch normalisation; without it: the specification to the letter.")
    ] = True,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from OUT/last.pt.")] = False,
) -> None:
    """Train the segmenter from simulation and, where the data folder is there, real calls of the train split.

    About an hour on two cores. Ctrl-C keeps a checkpoint.

    Example:
      whalefinder train segmenter --out runs/segmenter
    """
    from whalefinder.plots import draw_curve
    from whalefinder.training.segmenter import Settings, train

    settings = Settings(steps=steps, hidden_channels=hidden_channels, normalise=normalise, seed=seed)
    with one_line_errors():
        with _progress() as progress:
            task = progress.add_task("train", total=steps, note="drawing calls and boats …")
            train(out, settings, resume=resume, report=_training_report(progress, task))
        draw_curve(out / "curve.csv", out / "curve.png")
        console.print(f"weights → {out}/segmenter.safetensors, curve → {out}/curve.png")


@train_app.command("regressor")
def train_regressor(
    array: Annotated[Path, typer.Option("--array", "-a", help="Array file (TOML); the weights answer for it alone.")],
    out: Out = Path("runs/regressor"),
    minutes: Annotated[
        float, typer.Option(min=0.01, help="Nominal: 200 batches of 64 calls each, one core's work.")
    ] = 40,
    seed: Annotated[int, typer.Option(min=0, max=999_999, help="Benchmark seeds start at 10^9.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from OUT/last.pt.")] = False,
) -> None:
    """Train the network that answers with a direction at once, for one array, from simulation.

    About forty minutes on one core. Ctrl-C keeps a checkpoint. The array must be a volume or a level plane.

    Examples:
      whalefinder train regressor --array array.toml --out runs/regressor

      whalefinder locate night.wav -a array.toml --method network --regressor runs/regressor/regressor.safetensors
    """
    from whalefinder.arrays import load_array
    from whalefinder.plots import draw_curve
    from whalefinder.training.regressor import STEPS_PER_MINUTE, Settings, train

    settings = Settings(steps=max(1, round(minutes * STEPS_PER_MINUTE)), seed=seed)
    with one_line_errors():
        loaded = load_array(array)
        with _progress() as progress:
            task = progress.add_task("train", total=settings.steps, note="drawing calls and boats …")
            train(out, loaded, settings, resume=resume, report=_training_report(progress, task))
        draw_curve(out / "curve.csv", out / "curve.png", "loss, median error (°), share beyond 10°")
        console.print(f"weights → {out}/regressor.safetensors, curve → {out}/curve.png")


@train_app.command("tracker")
def train_tracker(
    out: Out = Path("runs/tracker"),
    smoother: Annotated[bool, typer.Option("--smoother", help="Uses what comes later too; else causal.")] = False,
    cell: Annotated[str, typer.Option(help="lstm, or elman for comparison.")] = "lstm",
    swims: Annotated[int, typer.Option(min=10, help="Simulated swims of 5 minutes.")] = 8000,
    steps: Annotated[int, typer.Option(min=1, help="Batches of 64 swims.")] = 1100,
    seed: Annotated[int, typer.Option(min=0, max=999_999, help="Benchmark seeds start at 10^9.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from OUT/last.pt.")] = False,
) -> None:
    """Train the network that follows animals, from simulated swims alone.

    A quarter of an hour on two cores. Ctrl-C keeps a checkpoint.

    Examples:
      whalefinder train tracker --out runs/tracker

      whalefinder train tracker --smoother --out runs/smoother
    """
    from whalefinder.networks.tracker import CELLS
    from whalefinder.plots import draw_curve
    from whalefinder.training.tracker import Settings, train

    with one_line_errors():
        if cell not in CELLS:
            raise OptionError(f"--cell {cell!r} is unknown; choose from {', '.join(CELLS)}")
        settings = Settings(smoother=smoother, cell=cell, swims=swims, steps=steps, seed=seed)
        with _progress() as progress:
            task = progress.add_task("train", total=steps, note="drawing swims …")
            train(out, settings, resume=resume, report=_training_report(progress, task))
        draw_curve(out / "curve.csv", out / "curve.png", "loss (nats), median error (°)")
        console.print(f"weights → {out}/tracker.safetensors, curve → {out}/curve.png")


def _training_report(progress: Progress, task: Any) -> Callable[[int, float, dict[str, float] | None], None]:
    best = {"note": ""}

    def report(step: int, loss: float, scores: dict[str, float] | None) -> None:
        if scores:
            best["note"] = f"validation {next(iter(scores.values())):.4f}"
        progress.update(task, completed=step, note=f"loss {loss:.3f} {best['note']}")

    return report


def main() -> None:
    """Entry point of the `whalefinder` command."""
    app()


if __name__ == "__main__":
    main()
