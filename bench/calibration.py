"""`python -m bench.calibration`: bearings of calls before and after an array was calibrated by ten minutes of boats.

The true array differs from its file by 5 mm per axis, 5 µs per channel, 3 m/s of sound speed and 0.5 dB per channel, one
sigma each. Six to ten boats pass it at 30 to 150 m. Their ten minutes are simulated as 120 pieces of half a second, one every
five seconds, since the whole takes too long. Bearings are those of exact delays of whales all round, at 80 to 500 m and 2 to
40 m depth, so that their error is that of the array alone; in the first trials `locate` hears calls as well (SNR 10 dB). With
a track (GPS that is 5 m off for each boat) the heading of the file is wrong as well, by 3°, one sigma; without a track and
before it is right.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import soundfile
import torch

from bench.results import put
from bench.scenes import make_array
from whalefinder.array.geometry import HydrophoneArray, attitude, direction, great_circle_rad, plane_wave_delays
from whalefinder.array.limit import geometry_covariance
from whalefinder.calibration.boats import Boat as Track
from whalefinder.calibration.calibrate import Calibration, calibrate
from whalefinder.calibration.solve import best_directions
from whalefinder.calibration.sounds import FRAMES, Sounds, hear
from whalefinder.evaluation.metrics import match
from whalefinder.pipeline import locate
from whalefinder.sea.boats import random_boat
from whalefinder.sea.calls import random_call
from whalefinder.sea.propagation import Path as Course
from whalefinder.sea.scene import Boat, Call, Scene, TrueCall, simulate
from whalefinder.sea.signals import log_uniform
from whalefinder.sound.recording import open_recording
from whalefinder.sound.spectrogram import HOP, RATE_HZ

SEED = 1_000_700_000
MINUTES_S, PIECES = 600.0, 120
POSITION_M, TIMING_S, SPEED_M_S, GAIN_DB = 5e-3, 5e-6, 3.0, 0.5
BOATS = (6, 10)
LEVEL_DB = (5.0, 20.0)
"""Level of a boat at 100 m over ambient, in 0.5-12 kHz."""
HEARD_M, MASKED_DB = 1400.0, 25.0
"""Boats that are further away, or softer than the loudest by more than this, are left out."""
SHARP_S = 1e-7
GPS_M, FIX_S, NOON = 5.0, 10.0, datetime(2026, 7, 1, 12, tzinfo=UTC)
CALLS, CALL_SLOT_S, CALL_S, SNR_DB = 6, 3.0, 1.5, 10.0
HEADING_DEG = 3.0
ARRAYS = {"tetrahedron 0.5 m": "tetrahedron", "6 phones, 1.2 m": "six"}
DEPTH_M = 1.5
WHALES = 60
WAYS = ("before", "after, no track", "after, with a track")


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The true array, as which channels are late and loud too."""

    array: HydrophoneArray
    late_s: np.ndarray
    gain_db: np.ndarray

    def instrument(self, x: np.ndarray) -> np.ndarray:
        """Sound `[channel, time]` with delays, exact in the spectrum, and gains."""
        hz = np.fft.rfftfreq(x.shape[1], 1 / RATE_HZ)
        factor = 10 ** (self.gain_db[:, None] / 20) * np.exp(-2j * np.pi * hz * self.late_s[:, None])
        return np.fft.irfft(np.fft.rfft(x) * factor, x.shape[1])


@dataclass
class Trial:
    """Errors of bearings (degrees) and stated deviations by way, and how far unknowns are off in standard deviations."""

    errors: dict[str, list[float]] = field(default_factory=dict)
    stated: dict[str, list[float]] = field(default_factory=dict)
    off: dict[str, list[float]] = field(default_factory=dict)
    located: dict[str, list[float]] = field(default_factory=dict)
    used: int = 0


def drawn(name: str, rng: np.random.Generator) -> tuple[HydrophoneArray, Truth]:
    """An array as its file describes it, and as it is."""
    array = replace(
        make_array(name, DEPTH_M), position_error_m=POSITION_M, timing_error_s=TIMING_S, sound_speed_error_m_s=SPEED_M_S
    )
    true = replace(
        array,
        positions_m=array.positions_m + POSITION_M * rng.standard_normal(array.positions_m.shape),
        sound_speed_m_s=array.sound_speed_m_s + SPEED_M_S * float(rng.standard_normal()),
    )
    late, gain = (sd * rng.standard_normal(array.num_channels) for sd in (TIMING_S, GAIN_DB))
    return array, Truth(array=true, late_s=late, gain_db=gain)


def crossing(rng: np.random.Generator) -> tuple[np.ndarray, Course, float]:
    """A boat that passes within the ten minutes: sound, path, level at 100 m."""
    nearest, azimuth, speed = rng.uniform(30, 150), rng.uniform(0, 2 * np.pi), rng.uniform(4, 12)
    velocity = np.array([np.cos(azimuth), -np.sin(azimuth), 0.0]) * speed * rng.choice([-1, 1])
    closest = np.array([nearest * np.sin(azimuth), nearest * np.cos(azimuth), DEPTH_M - 1.0])
    start = closest - velocity * rng.uniform(0, MINUTES_S)
    return random_boat(rng, 20.0), Course(tuple(start), tuple(velocity)), rng.uniform(*LEVEL_DB)


def ten_minutes(truth: Truth, boats: list[tuple[np.ndarray, Course, float]], seed: int) -> np.ndarray:
    """The pieces one after the other, `[channel, time]`."""
    rng = np.random.default_rng([seed, 2])
    pieces, samples = [], FRAMES * HOP
    for piece in range(PIECES):
        at = piece * MINUTES_S / PIECES
        heard: list[Boat] = []
        for sound, course, level_db in boats:
            here = Course(tuple(course.at(at)), course.velocity_m_s)
            away = float(np.linalg.norm(here.start_m))
            if away < HEARD_M:
                part = np.roll(sound, -int(rng.integers(len(sound))))[: 3 * RATE_HZ]
                heard.append(Boat(part, here, level_db - 20 * np.log10(away / 100)))
        loudest = max((boat.level_db for boat in heard), default=0.0)
        audible = tuple(boat for boat in heard if boat.level_db > loudest - MASKED_DB)
        scene = Scene(array=truth.array, seconds=samples / RATE_HZ, boats=audible)
        pieces.append(simulate(scene, seed + 1000 * piece).samples)
    return truth.instrument(np.concatenate(pieces, axis=1))


def sounds_of(samples: np.ndarray, array: HydrophoneArray, folder: Path) -> Sounds:
    """The sounds of the pieces, at their true times."""
    path = folder / "boats.wav"
    _write(path, samples)
    found = hear([open_recording(path, array)], array)
    each_s = FRAMES * HOP / RATE_HZ
    seconds = np.floor(found.own_s / each_s) * MINUTES_S / PIECES + each_s / 2
    return replace(found, time_s=seconds, own_s=seconds, utc=tuple(NOON + timedelta(seconds=float(s)) for s in seconds))


def tracked(boats: list[tuple[np.ndarray, Course, float]], rng: np.random.Generator) -> list[Track]:
    """The tracks of the boats as GPS has them: off by some metres."""
    fixes = np.arange(-30.0, MINUTES_S + 30.0, FIX_S)
    return [
        Track(
            name=f"boat {index + 1}",
            time_s=NOON.timestamp() + fixes,
            place_m=course.at(fixes)[:, :2]
            + GPS_M * (rng.standard_normal(2) + 0.5 * rng.standard_normal((len(fixes), 2))),
        )
        for index, (_, course, _) in enumerate(boats)
    ]


def calls_of(truth: Truth, seed: int) -> tuple[np.ndarray, tuple[TrueCall, ...]]:
    """A recording of calls from all round, one after the other, and where they came from."""
    rng = np.random.default_rng([seed, 3])
    calls = []
    for k in range(CALLS):
        place = tuple(_whale(rng, 2 * np.pi * (k + rng.uniform(0, 1)) / CALLS))
        kind, sound = random_call(rng)
        begin_s = 1.0 + k * CALL_SLOT_S
        calls.append(
            Call(sound=sound[: int(CALL_S * RATE_HZ)], path=Course(place), begin_s=begin_s, snr_db=SNR_DB, kind=kind)
        )
    sea = simulate(Scene(array=truth.array, seconds=2.0 + CALLS * CALL_SLOT_S, calls=tuple(calls)), seed)
    return truth.instrument(sea.samples), sea.truth


def judged(array: HydrophoneArray, truth: Truth, seed: int) -> tuple[list[float], list[float]]:
    """Great-circle errors (degrees) of bearings from exact delays, and the same in stated standard deviations of the array."""
    rng = np.random.default_rng([seed, 4])
    u = np.stack([_whale(rng, rng.uniform(0, 2 * np.pi)) for _ in range(WHALES)])
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    delays = plane_wave_delays(truth.array.positions_m, u, truth.array.sound_speed_m_s) + truth.late_s
    sharp = (np.eye(array.num_channels) - 1 / array.num_channels)[None] / SHARP_S**2
    sounds = Sounds(
        time_s=np.zeros(WHALES), own_s=np.zeros(WHALES), utc=(None,) * WHALES, recording=("",) * WHALES,
        delays_s=delays - delays.mean(1, keepdims=True), information=np.repeat(sharp, WHALES, axis=0),
        gains=np.ones_like(delays), coherence=np.ones(WHALES),
    )  # fmt: skip
    found, _ = best_directions(sounds, array, SHARP_S, u)
    errors = np.degrees(great_circle_rad(u, found))
    stated = np.degrees([np.sqrt(np.trace(geometry_covariance(array, each)) / 2) for each in u])
    return errors.tolist(), (errors / stated).tolist()


def _whale(rng: np.random.Generator, azimuth: float) -> np.ndarray:
    distance = log_uniform(rng, 80, 500)
    return np.array([distance * np.sin(azimuth), distance * np.cos(azimuth), DEPTH_M - rng.uniform(2, 40)])


def located(path: Path, array: HydrophoneArray, calls: tuple[TrueCall, ...]) -> list[float]:
    """Great-circle errors (degrees) of the calls that `locate` finds."""
    found, errors = locate(path, array), []
    for call in calls:
        hit = match(call, found)
        if hit is not None and hit.azimuth_deg is not None and hit.elevation_deg is not None:
            u, v = (direction(np.radians(b.azimuth_deg), np.radians(b.elevation_deg)) for b in (hit, call))
            errors.append(float(np.degrees(great_circle_rad(u, v))))
    return errors


def off_by(found: Calibration, truth: Truth) -> list[float]:
    """How far the unknowns are from the truth, in standard deviations: places, delays, sound speed."""
    solution = found.solution
    model, state = solution.model, solution.state
    true = np.concatenate(
        [
            (truth.array.positions_m - found.before.positions_m).ravel(),
            truth.late_s,
            [np.log(truth.array.sound_speed_m_s / found.before.sound_speed_m_s)],
        ]
    )
    found_x, sd = model.vector(state)[: len(true)], np.sqrt(np.diag(solution.covariance))[: len(true)]
    return (np.abs(found_x - true) / sd).tolist()


def trial(name: str, number: int, *, with_locate: bool) -> Trial:
    """One array: calibrated without and with a track, and judged by bearings."""
    seed = SEED + number
    rng = np.random.default_rng([seed, 1])
    array, truth = drawn(name, rng)
    boats = [crossing(rng) for _ in range(int(rng.integers(BOATS[0], BOATS[1] + 1)))]
    result = Trial()
    with tempfile.TemporaryDirectory() as folder:
        sounds = sounds_of(ten_minutes(truth, boats, seed), array, Path(folder))
        alone = calibrate(sounds, array)
        turn = attitude(HEADING_DEG * float(rng.standard_normal()), 0.0, 0.0)
        turned = replace(array, positions_m=array.positions_m @ turn.T)
        known = calibrate(sounds, turned, tracked(boats, rng))
        result.used, result.off = alone.solution.used, {WAYS[1]: off_by(alone, truth)}
        ways = dict(zip(WAYS, (array, alone.after, known.after), strict=True))
        for way, each in ways.items():
            result.errors[way], result.stated[way] = judged(each, truth, seed)
        if with_locate:
            samples, calls = calls_of(truth, seed)
            path = Path(folder) / "calls.wav"
            _write(path, samples)
            result.located = {way: located(path, each, calls) for way, each in ways.items()}
    return result


def _write(path: Path, samples: np.ndarray) -> None:
    soundfile.write(path, (samples / np.abs(samples).max() / 2).T, RATE_HZ, subtype="FLOAT")


def table(results: dict[str, list[Trial]]) -> str:
    """The table in Markdown."""
    lines = [
        "| array | file | median error of bearings | 90 % within | within 1 σ / 2 σ of the stated error | arrays | calls of `locate` |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, trials in results.items():
        for way in WAYS:
            errors = np.concatenate([each.errors[way] for each in trials])
            stated = np.concatenate([each.stated[way] for each in trials])
            inside = f"{100 * np.mean(stated < 1):.0f} % / {100 * np.mean(stated < 2):.0f} %"
            interval = _interval([np.array(each.errors[way]) for each in trials])
            heard = [error for each in trials for error in each.located.get(way, [])]
            calls = f"{np.median(heard):.2f}° ({len(heard)})" if heard else "–"
            lines.append(
                f"| {name} | {way} | {np.median(errors):.2f}° ({interval}) | {np.percentile(errors, 90):.2f}° | {inside} "
                f"| {len(trials)} | {calls} |"
            )
    return "\n".join(lines)


def _interval(errors: list[np.ndarray]) -> str:
    """95 % bootstrap interval of the median over arrays, since the bearings of one array share its errors."""
    rng = np.random.default_rng(0)
    medians = [
        np.median(np.concatenate([errors[i] for i in rng.integers(len(errors), size=len(errors))])) for _ in range(1000)
    ]
    low, high = np.percentile(medians, [2.5, 97.5])
    return f"{low:.2f}–{high:.2f}°"


def covered(results: dict[str, list[Trial]]) -> str:
    """A sentence: how often places, delays and sound speed lie within their posterior errors."""
    off = np.concatenate([each.off[WAYS[1]] for trials in results.values() for each in trials])
    used = [each.used for trials in results.values() for each in trials]
    return (
        f"Places, delays and sound speed, without a track: {100 * np.mean(off < 1):.0f} % within 1 σ of the posterior (68 % if it "
        f"is exact), {100 * np.mean(off < 2):.0f} % within 2 σ (95 %). {min(used)} to {max(used)} of {PIECES} pieces were used."
    )


def main() -> None:
    """Run all trials and replace the table in `bench/RESULTS.md`."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--trials", type=int, default=10, help="arrays of each kind")
    options.add_argument("--first", type=int, default=0, help="number of the first; 1000 and above to choose on")
    options.add_argument("--located", type=int, default=1, help="arrays of each kind with which `locate` hears calls")
    options.add_argument("--print", action="store_true", help="do not touch RESULTS.md")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    results: dict[str, list[Trial]] = {title: [] for title in ARRAYS}
    for number in range(chosen.first, chosen.first + chosen.trials):
        for title, name in ARRAYS.items():
            began = time.process_time()
            results[title].append(trial(name, number, with_locate=number - chosen.first < chosen.located))
            medians = ", ".join(f"{way} {np.median(errors):.2f}°" for way, errors in results[title][-1].errors.items())
            print(f"{title} {number}: {medians} ({time.process_time() - began:.0f} s)", flush=True)
        text = f"{table(results)}\n\n{covered(results)}"
        if not chosen.print:
            about = " ".join((__doc__ or "").split("\n\n")[1].split())
            done = number - chosen.first + 1
            put(f"## Calibration by boats\n\nCommand: `python -m bench.calibration --trials {done}`. {about}\n\n{text}")
    print(text)


if __name__ == "__main__":
    main()
