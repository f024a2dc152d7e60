"""`python -m bench.pamguard`: PAMGuard's directions of 1014 clicks and ours from the same clips, and both stated errors.

The file is one of PAMGuard's own tests: clicks of four hydrophones with waveforms, delays, bearings and their errors. Nobody
wrote down where the whale was. But it swam straight on, so the truth is the pass at constant velocity that fits all
directions best: five numbers for 4056 angles, half of them PAMGuard's and half ours.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pypamguard import load_pamguard_binary_file
from scipy.optimize import least_squares

from bench.results import put
from whalefinder.array.geometry import Floats, HydrophoneArray, direction, tangents
from whalefinder.bearings.clip import bound_of_cells, cells_of_clip
from whalefinder.bearings.likelihood import Cells, derivatives
from whalefinder.bearings.steering import Fix, find_direction
from whalefinder.bearings.wavefront import find_wavefront
from whalefinder.results.pamguard import read_pamguard
from whalefinder.training.clips import data_folder

FILE = Path("formats/pamguard/Click_Detector_Click_Detector_Clicks_20240806_121502.pgdf")
QUIET = 28  # samples at the begin of a clip; the earliest click begins 33 samples after the clip
BAND_HZ = (2000.0, 24_000.0)  # PAMGuard's trigger band, as the file states it
SOUND_SPEED_M_S = 1500.0
POSITIONS_M = -np.array([[0, 0, 0], [-0.008, 0.290, -0.014], [0.140, 0.145, 0.131], [-0.150, 0.145, 0.133]])
"""Positions that explain PAMGuard's delays by its directions, to 0.6 µs. The file does not hold them."""
LOUD_HZ = (3000.0, 8000.0)  # where the clicks are far above the noise
SCALED = 5  # every so many clicks tell the scale of the delays
OUTLIER_RAD = 0.004  # beyond this, directions pull less on the pass
DRAWS = 1000


@dataclass(frozen=True, kw_only=True)
class Clicks:
    """The clicks of the file.

    Args:
        time_s: begin of each clip, `[click]`.
        clips: `[channel, time]` of each click.
        rate_hz: samples per second.
        u: PAMGuard's directions `[click, 3]`, against the array's own axes.
        sd_rad: its stated errors (level, up), `[click, 2]`.
        delays_s: its delays of the pairs (1, 2), (1, 3), … (3, 4), `[click, pair]`; positive where the second is later.
    """

    time_s: Floats
    clips: list[Floats]
    rate_hz: float
    u: Floats
    sd_rad: Floats
    delays_s: Floats

    @property
    def quiet(self) -> Floats:
        """The samples before the clicks, `[click, channel, time]`."""
        return np.stack([clip[:, :QUIET] for clip in self.clips])


def read_clicks(path: Path) -> Clicks:
    """Read the waveforms by pypamguard, and the directions as `whalefinder import-pamguard` does."""
    with contextlib.redirect_stdout(io.StringIO()):
        file = load_pamguard_binary_file(str(path))
    rows = read_pamguard(path)
    header, footer = file.file_info.file_header, file.file_info.file_footer
    seconds = (footer.data_date - header.data_date).total_seconds()
    rate_hz = round(float(footer.end_sample - header.start_sample) / seconds)
    az, el, az_sd, el_sd = np.radians(
        [[row[f"{angle}_{what}"] for what in ("deg", "sd_deg") for angle in ("azimuth", "elevation")] for row in rows]
    ).T
    return Clicks(
        time_s=np.array([float(unit.start_sample) for unit in file.data]) / rate_hz,
        clips=[np.asarray(unit.wave, float) for unit in file.data],
        rate_hz=rate_hz,
        u=direction(az, el),
        sd_rad=np.stack([az_sd * np.cos(el), el_sd], axis=1),
        delays_s=np.array([unit.time_delays for unit in file.data], float),
    )


def scale_of_delays(cells: list[Cells], delays_s: Floats) -> float:
    """By what factor the delays between the waveforms are larger than those that the file states."""
    first, second = np.triu_indices(len(POSITIONS_M), 1)
    heard, stated = np.stack([find_wavefront(each).delays_s for each in cells[::SCALED]]), delays_s[::SCALED]
    return float(np.sum((heard[:, second] - heard[:, first]) * stated) / np.sum(stated**2))


def with_mean_spectrum(cells: list[Cells]) -> list[Cells]:
    """The cells with the power that the mean waveform has at the level of each click.

    All clicks have one waveform, so their mean spectrum says what a single clip cannot: how much of the power in a bin
    near the noise is click. The bound needs that, since it counts every bin.
    """
    grid = np.unique(np.concatenate([each.frequency_hz.numpy() for each in cells]))
    powers = np.stack([_on(grid, each) for each in cells])
    levels = powers[:, (grid >= LOUD_HZ[0]) & (grid <= LOUD_HZ[1])].mean(axis=1)
    shape = np.maximum(powers.sum(axis=0) / levels.sum(), 0.0)
    return [
        replace(each, power=torch.from_numpy(level * np.interp(each.frequency_hz.numpy(), grid, shape)).float())
        for each, level in zip(cells, levels, strict=True)
    ]


def _on(grid: Floats, cells: Cells) -> Floats:
    order = cells.frequency_hz.argsort()
    return np.interp(grid, cells.frequency_hz[order].numpy(), cells.power[order].numpy())


def straight_pass(time_s: Floats, directions: list[Floats]) -> Floats:
    """Directions of a source at constant velocity that fits best, `[click, 3]`.

    The direction of p + v t does not tell the range, so |p| is 1. Directions far off count less (soft L1).
    """
    t = (time_s - time_s.mean()) / np.ptp(time_s)

    def course(x: Floats) -> Floats:
        places = x[:3] + np.outer(t, x[3:])
        return np.asarray(places / np.linalg.norm(places, axis=1, keepdims=True))

    def misses(x: Floats) -> Floats:
        u = course(x)
        rest = [offsets(each, u).ravel() / OUTLIER_RAD for each in directions]
        return np.concatenate([*rest, [np.linalg.norm(x[:3]) - 1]])

    middle = directions[0][len(t) // 2]
    start = np.concatenate([middle, directions[0][-1] - directions[0][0]])
    return course(least_squares(misses, start, loss="soft_l1").x)


def offsets(u: Floats, path: Floats) -> Floats:
    """Offsets (level, up) of directions from a path in radians, `[click, 2]`."""
    return np.stack([(u * axis).sum(-1) for axis in tangents(path)], axis=-1)


@dataclass(frozen=True, kw_only=True)
class Ours:
    """What we find from the clips: fixes, the bounds `[click, 2, 2]`, and how much the hydrophones disagree, `[click]`."""

    fixes: list[Fix]
    bounds: Floats
    disagreement: Floats


def look(cells: list[Cells], whole: list[Cells], array: HydrophoneArray) -> Ours:
    """Our directions of the clicks from their cells, and the bounds from all bins (`with_mean_spectrum`).

    Four hydrophones have three delays, a direction two unknowns. So twice the log L that free delays gain is χ² with one
    degree of freedom if the array and the noise are what we take them for; its mean is 1.
    """
    found = [find_direction(each, array, surface=False) for each in cells]
    fixes = [fix for fix in found if fix is not None]
    assert len(fixes) == len(cells), "a clip without any bin above the noise"
    gains = []
    for each, fix in zip(cells, fixes, strict=True):
        delays = array.delays_s(fix.u)
        gains.append(find_wavefront(each, delays).log_likelihood - derivatives(each.double(), delays).value)
    bounds = np.stack([bound_of_cells(each, array, fix.u) for each, fix in zip(whole, fixes, strict=True)])
    return Ours(fixes=fixes, bounds=bounds, disagreement=2 * np.array(gains))


def rms_deg(errors: Floats) -> float:
    """Root mean square of the great-circle error in degrees, from `[click, 2]` rad."""
    return float(np.degrees(np.sqrt(np.mean(np.sum(errors**2, axis=1)))))


def interval_of_ratio(errors: Floats, bounds_rad: Floats) -> tuple[float, float]:
    """95 % bootstrap interval over clicks of the error divided by the bound."""
    picked = np.random.default_rng(0).integers(len(errors), size=(DRAWS, len(errors)))
    ratios = [rms_deg(errors[rows]) / rms_deg(bounds_rad[rows]) for rows in picked]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def row(name: str, errors: Floats, sd_rad: Floats, bounds_rad: Floats) -> str:
    """One row of the table: errors `[click, 2]`, stated errors and bounds of the same shape, all in rad."""
    level, up = np.degrees(np.sqrt(np.mean(errors**2, axis=0)))
    stated_level, stated_up = np.degrees(np.sqrt(np.mean(sd_rad**2, axis=0)))
    low, high = interval_of_ratio(errors, bounds_rad)
    away = np.linalg.norm(errors / sd_rad, axis=1)
    median = np.degrees(np.median(np.linalg.norm(errors, axis=1)))
    return (
        f"| {name} | {level:.3f}° / {up:.3f}° | {median:.3f}° "
        f"| {rms_deg(errors) / rms_deg(bounds_rad):.2f} ({low:.2f}–{high:.2f}) | {stated_level:.2f}° / {stated_up:.2f}° "
        f"| {rms_deg(sd_rad) / rms_deg(errors):.2f} | {100 * np.mean(away < 1):.0f} % | {100 * np.mean(away < 2):.0f} % |"
    )


def table(clicks: Clicks) -> str:
    """The section of `bench/RESULTS.md`."""
    cut = partial(cells_of_clip, quiet=clicks.quiet, rate_hz=clicks.rate_hz, band_hz=BAND_HZ)
    cells = [cut(clip) for clip in clicks.clips]
    whole = with_mean_spectrum([cut(clip, gate=-np.inf) for clip in clicks.clips])
    scale = scale_of_delays(cells, clicks.delays_s)
    array = HydrophoneArray(
        name="PAMGuard's", positions_m=scale * POSITIONS_M, sound_speed_m_s=SOUND_SPEED_M_S, min_range_m=1.0
    )
    ours = look(cells, whole, array)
    u = np.stack([fix.u for fix in ours.fixes])
    sd, bounds = (
        np.sqrt(np.diagonal(part, axis1=1, axis2=2))
        for part in (np.stack([fix.covariance for fix in ours.fixes]), ours.bounds)
    )
    both = straight_pass(clicks.time_s, [clicks.u, u])
    named = {"PAMGuard": (clicks.u, clicks.sd_rad), "whalefinder": (u, sd)}
    lines = [
        _head(clicks, scale),
        "",
        "| directions | error, level / up | median | error / bound (95 %) | stated, level / up | stated / true | within 1 σ "
        "| within 2 σ |",
        "|" + " --- |" * 8,
    ]
    for path_name, path_of in (("", lambda _: both), (", own pass", lambda v: straight_pass(clicks.time_s, [v]))):
        lines += [row(name + path_name, offsets(v, path_of(v)), s, bounds) for name, (v, s) in named.items()]
    level, up = np.degrees(np.sqrt(np.mean(bounds**2, axis=0)))
    lines += [f"| Cramér–Rao | {level:.3f}° / {up:.3f}° | | 1 | | 1 | 39 % | 86 % |", ""]
    errors = {name: offsets(v, both) for name, (v, _) in named.items()}
    alike = np.corrcoef(*(each.ravel() for each in errors.values()))[0, 1]
    return "\n".join([*lines, *_by_loudness(errors, bounds, ours.disagreement), "", _notes(alike)])


def _head(clicks: Clicks, scale: float) -> str:
    steps = np.diff(clicks.time_s)
    return (
        "## PAMGuard's clicks\n\nCommand: `python -m bench.pamguard`.\n\n"
        f"{len(clicks.clips)} clicks of PAMGuard's own test file (`{FILE.name}`), four hydrophones, {clicks.rate_hz / 1000:g} kHz: "
        "its directions and ours, from the same clips of 2.5 ms. The file is most likely a simulation: one waveform, "
        f"one click a second ({steps.min():.3f}–{steps.max():.3f} s), white noise that is independent at each hydrophone. The truth "
        "is a pass at constant velocity. It is fitted to the directions of both together, and (*own pass*) to each alone, "
        "which takes out what the array's geometry leaves between the two.\n\n"
        "The file does not hold the array. Its shape comes from PAMGuard's delays and directions, mirrored at the origin: "
        "the hydrophone that hears a click first must lie towards it. The delays between the waveforms are "
        f"{scale:.3f} times those in the file, all by the same factor, so our array is larger by it; a normalised direction does "
        "not show it. Errors are root mean squares along great circles (level, up), stated errors too. The bound knows "
        "the noise and the SNR of each clip."
    )


def _by_loudness(errors: dict[str, Floats], bounds: Floats, disagreement: Floats) -> list[str]:
    """Table of the thirds of the clicks with the largest, the middle and the smallest bound."""
    order = np.argsort(-np.sum(bounds**2, axis=1))
    lines = [
        "| clicks | Cramér–Rao | " + " | ".join(errors) + " | disagreement |",
        "|" + " --- |" * 5,
    ]
    for name, rows in zip(("softest third", "middle", "loudest third"), np.array_split(order, 3), strict=True):
        bound = rms_deg(bounds[rows])
        found = " | ".join(
            f"{rms_deg(each[rows]):.3f}° ({rms_deg(each[rows]) / bound:.2f} × bound)" for each in errors.values()
        )
        lines.append(f"| {name} | {bound:.3f}° | {found} | {disagreement[rows].mean():.2f} |")
    return lines


def _notes(alike: float) -> str:
    return (
        "*Disagreement*: twice the log likelihood that free delays add to those of a direction; noise alone gives 1 on "
        "average (four hydrophones have one delay more than a direction has unknowns). The louder the clicks, the more the "
        "hydrophones disagree beyond their noise: the delays between the waveforms carry errors of their own there, which "
        f"the bound does not know. The errors of the two programs have a correlation of {alike:.2f}: both hear the same."
    )


def main() -> None:
    """Compute the table and put it into `bench/RESULTS.md`."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--print", action="store_true", help="do not touch RESULTS.md")
    show = partial(print, flush=True) if options.parse_args().print else put
    show(table(read_clicks(data_folder() / FILE)))


if __name__ == "__main__":
    main()
