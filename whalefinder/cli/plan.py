"""Commands that look ahead: plan, place-array."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from whalefinder.cli.common import File, Overwrite, Quiet, app, console, errors, escaped, one_line_errors, progress_bar
from whalefinder.words import count

if TYPE_CHECKING:
    from whalefinder.array.geometry import HydrophoneArray
    from whalefinder.planning.conditions import Conditions

MOST_ARRAYS = 6
"""More rows would not fit on a screen."""

Snr = Annotated[float, typer.Option(min=-40, max=60, help="Power of the call over ambient, dB, in its band.")]
Low = Annotated[float, typer.Option(min=400, max=12300, help="Lowest frequency of the call, Hz.")]
High = Annotated[float, typer.Option(min=400, max=12300, help="Highest frequency of the call, Hz.")]
Seconds = Annotated[float, typer.Option(min=0.01, max=60, help="Length of the call, s.")]
Boats = Annotated[int, typer.Option(min=0, max=20, help="Number of boats, evenly round the horizon, from north on.")]
Boat = Annotated[
    list[str] | None,
    typer.Option(
        metavar="AZ[,EL]", help="Direction of a boat, degrees: 40 or 40,5. May be repeated.", show_default="none"
    ),
]
Sir = Annotated[
    float, typer.Option(min=-60, max=60, help="Power of the call over all boats together, dB, in its band.")
]
Diffuse = Annotated[
    bool, typer.Option("--diffuse", help="Ambient noise from all directions, instead of independent per hydrophone.")
]


def _conditions(
    snr: float, low: float, high: float, seconds: float, boats: int, boat: list[str] | None, sir: float, diffuse: bool
) -> Conditions:
    from whalefinder.array.limit import TypicalCall
    from whalefinder.errors import OptionError
    from whalefinder.planning.conditions import Conditions, boats_round, read_boats

    if boats and boat:
        raise OptionError(f"`boats` {boats} and `boat` {boat[0]} exclude each other; give a number or directions")
    return Conditions(
        call=TypicalCall(low, high, seconds, snr),
        boats_deg=read_boats(boat) if boat else boats_round(boats),
        sir_db=sir,
        diffuse=diffuse,
    )


@app.command()
def plan(
    arrays: Annotated[list[Path], typer.Argument(help=f"Array files (TOML), {MOST_ARRAYS} at most.")],
    snr: Snr = 0.0,
    low: Low = 1000.0,
    high: High = 6000.0,
    seconds: Seconds = 0.7,
    boats: Boats = 0,
    boat: Boat = None,
    sir: Sir = -10.0,
    diffuse: Diffuse = False,
    file: Annotated[Path, typer.Option("--file", help="The picture (PNG).")] = Path("plan.png"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Predict the error of bearings and the share of outliers all round, for one array or several side by side.

    Prints a table, and draws maps of the sky as seen from above. The prediction is the smallest error that any method can
    have, with the errors that the array file states, and the lobes that a faint call is lost to.

    Examples:
      whalefinder plan array.toml

      whalefinder plan pier.toml buoy.toml --snr -5 --low 2000 --boats 3 --sir -15

      whalefinder plan array.toml --boat 40 --boat 200 --file two-boats.png
    """
    from whalefinder.errors import OptionError
    from whalefinder.files import untouched
    from whalefinder.pages.plan_picture import draw_plan, words_of
    from whalefinder.planning.sky import sky_map

    with one_line_errors():
        conditions = _conditions(snr, low, high, seconds, boats, boat, sir, diffuse)
        if len(arrays) > MOST_ARRAYS:
            raise OptionError(f"{len(arrays)} arrays do not fit into one picture; give {MOST_ARRAYS} at most")
        if file.suffix.lower() != ".png":
            raise OptionError(f"`file` {file}: the picture is a PNG; give a name that ends in .png")
        loaded = _loaded(arrays)
        untouched([file], overwrite=overwrite)
        maps = []
        with progress_bar(quiet) as progress:
            task = progress.add_task("plan", total=len(loaded), note="")
            for number, array in enumerate(loaded):

                def report(done: float, total: float, number: int = number, note: str = escaped(array.name)) -> None:
                    progress.update(task, completed=number + done / total, note=note)

                report(0, 1)
                maps.append(sky_map(array, conditions, report))
        table = Table(title=words_of(conditions).replace(" (▲)", ""), title_justify="left")
        for name in (
            "array",
            "elevation",
            "error\n1 σ",
            "azimuth\n1 σ",
            "elevation\n1 σ",
            "beyond\n10°",
            "worst\nbeyond 10°",
        ):
            table.add_column(name, justify="left" if name == "array" else "right")
        for array in loaded:
            _add_rows(table, array, conditions)
        console.print(table)
        for array in loaded:
            console.print(escaped(_threshold_words(array, conditions)), soft_wrap=True)
        draw_plan(maps, file)
        console.print(f"drawn → {escaped(str(file))}", soft_wrap=True)


def _loaded(paths: list[Path]) -> list[HydrophoneArray]:
    """The arrays of all files. Those with the same name get that of their file too."""
    from whalefinder.array.array_file import load_array
    from whalefinder.planning.predict import check_plannable

    arrays = [check_plannable(load_array(path)) for path in paths]
    times = Counter(array.name for array in arrays)
    named = zip(arrays, paths, strict=True)
    return [replace(a, name=f"{a.name} ({path})") if times[a.name] > 1 else a for a, path in named]


def _add_rows(table: Table, array: HydrophoneArray, conditions: Conditions) -> None:
    """A row for each elevation: medians over azimuths, and the worst share beyond 10°."""
    from whalefinder.planning.predict import predict
    from whalefinder.planning.sky import at_elevations

    for row, (elevation, u) in enumerate(at_elevations(array).items()):
        found = predict(array, conditions, u)
        sds = (found.error_deg, found.azimuth_sd_deg, found.elevation_sd_deg)
        shares = (median(found.beyond), found.beyond.max())
        table.add_row(
            escaped(array.name) if row == 0 else "", f"{elevation:g}°", *(f"{median(sd):.2g}°" for sd in sds),
            *(_per_cent(float(share)) for share in shares), end_section=elevation == min(at_elevations(array)),
        )  # fmt: skip


def _per_cent(share: float) -> str:
    return "< 0.1 %" if share < 0.001 else f"{100 * share:.1f} %" if share < 0.0995 else f"{100 * share:.0f} %"


def _threshold_words(array: HydrophoneArray, conditions: Conditions) -> str:
    from whalefinder.planning.sky import threshold_db

    if array.is_wide:
        return f"{array.name}: a wide array; its lobes are not predicted, so more bearings can be beyond 10°"
    snr_db = threshold_db(array, conditions)
    if snr_db == math.inf:
        return (
            f"{array.name}: more than 1 % of bearings are beyond 10° at any SNR (it cannot tell some directions apart)"
        )
    if snr_db == -math.inf:
        return f"{array.name}: fewer than 1 % of bearings are beyond 10° at any SNR"
    return f"{array.name}: below an SNR of {snr_db:.0f} dB more than 1 % of bearings are beyond 10°"


@app.command("place-array")
def place_array(
    phones: Annotated[int, typer.Option(min=3, max=16, help="Number of hydrophones.")],
    frame: Annotated[
        str, typer.Option(metavar="X,Y,Z", help="Extent of the frame east, north and up, m; 0 where it is flat.")
    ],
    sound_speed: Annotated[float, typer.Option(help="Sound speed, m/s. In sea water it is about 1480.")],
    spacing: Annotated[float, typer.Option(help="No two hydrophones are closer, m.")] = 0.05,
    file: File = Path("array.toml"),
    depth: Annotated[
        float | None, typer.Option(help="Depth of the middle of the frame, m.", show_default="unknown")
    ] = None,
    min_range: Annotated[float, typer.Option(help="No animal is nearer, m.")] = 20.0,
    position_error: Annotated[float, typer.Option(min=0, help="Error of each position, m: one sigma per axis.")] = 0.0,
    timing_error: Annotated[float, typer.Option(min=0, help="Error of each channel's time, s: one sigma.")] = 0.0,
    sound_speed_error: Annotated[float, typer.Option(min=0, help="Error of the sound speed, m/s: one sigma.")] = 0.0,
    lowest: Annotated[float, typer.Option(min=-90, max=89, help="Lowest elevation that matters, degrees.")] = -90.0,
    snr: Snr = 0.0,
    low: Low = 1000.0,
    high: High = 6000.0,
    seconds: Seconds = 0.7,
    boats: Boats = 0,
    boat: Boat = None,
    sir: Sir = -10.0,
    diffuse: Diffuse = False,
    generations: Annotated[int, typer.Option(min=1, max=10000, help="How long to search, at most.")] = 60,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same array.")] = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Place hydrophones inside a frame so that bearings are best, and write the array file.

    What is made small is the error to expect over all directions below the surface, outliers included. Takes a minute or
    two for four hydrophones.

    Examples:
      whalefinder place-array --phones 4 --frame 0.4,0.4,0.4 --sound-speed 1484 --depth 8

      whalefinder place-array --phones 6 --frame 1,1,0.3 --sound-speed 1484 --snr -10 --low 3000 --file six.toml
    """
    from whalefinder.array.array_file import save_array
    from whalefinder.array.geometry import HydrophoneArray, tetrahedron
    from whalefinder.array.physics import oddities
    from whalefinder.files import untouched
    from whalefinder.planning.place import Frame, place, read_frame

    with one_line_errors():
        conditions = _conditions(snr, low, high, seconds, boats, boat, sir, diffuse)
        box = Frame(size_m=read_frame(frame), number=phones, spacing_m=spacing, lowest_deg=lowest)
        untouched([file], overwrite=overwrite)
        like = HydrophoneArray(
            name=file.stem, positions_m=tetrahedron(), sound_speed_m_s=sound_speed, depth_m=depth, min_range_m=min_range,
            position_error_m=position_error, timing_error_s=timing_error, sound_speed_error_m_s=sound_speed_error,
        )  # fmt: skip
        with progress_bar(quiet) as progress:
            task = progress.add_task("place", total=generations, note="")

            def report(done: int, note: str) -> None:
                progress.update(task, completed=done, note=note)

            placed = place(box, like, conditions, generations=generations, seed=seed, report=report)
        for line in oddities(placed):
            errors.print(f"warning: {escaped(line)}", soft_wrap=True)
        save_array(placed, file)
        table = Table(title=f"{count(phones, 'hydrophone')} in {frame} m", title_justify="left")
        for name in ("channel", "east (m)", "north (m)", "up (m)"):
            table.add_column(name, justify="right")
        for channel, place_m in zip(placed.channels, placed.positions_m, strict=True):
            table.add_row(str(channel + 1), *(f"{value:.3f}" for value in place_m))
        console.print(table)
        console.print(f"{_quality(placed, conditions, lowest)}\narray → {escaped(str(file))}", soft_wrap=True)


def _quality(array: HydrophoneArray, conditions: Conditions, lowest: float) -> str:
    from whalefinder.planning.predict import predict
    from whalefinder.planning.sky import all_round

    found = predict(array, conditions, all_round(array, lowest))
    text = f"error {median(found.error_deg):.2g}° (median of 1 σ over all directions), {found.error_deg.max():.2g}° at worst"
    if array.is_wide:
        return f"{text}; a wide array: lobes are not predicted"
    return f"{text}; {_per_cent(float(found.beyond.mean()))} beyond 10°"
