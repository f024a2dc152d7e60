"""Drawing random scenes, and writing simulated recordings: the sound, the array file, the true calls as a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import soundfile
import soxr

from whalefinder.array.array_file import save_array
from whalefinder.array.geometry import HydrophoneArray
from whalefinder.errors import OptionError, RecordingError
from whalefinder.files import locked, replacing, sound_path, untouched
from whalefinder.results.tables import write_table
from whalefinder.sea.boats import random_boat
from whalefinder.sea.calls import random_call
from whalefinder.sea.propagation import Path as Course
from whalefinder.sea.scene import Boat, Call, Faults, Scene, SimulatedRecording, TrueCall, simulate
from whalefinder.sound.spectrogram import RATE_HZ

PEAK = 0.5
SOUND_FILES = {".wav", ".flac", ".w64"}


MOST_CALLS_PER_S = 4.0
"""Calls do not overlap, and below 0.2 s none is left of one."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to simulate: the options of `whalefinder simulate`.

    Args:
        seconds: length of the recording.
        calls, boats: how many of each.
        snr_db: SNR of every call, in 0.5-12 kHz at the array.
        sir_db: level of the first call over all boats, or None: the boats keep their own levels.
        surface_coefficient, roughness_m, diffuse, faults: as for `Scene`.
        calls_from: folder of WAV or FLAC clips of calls, or None for simulated calls.
    """

    seconds: float = 30.0
    calls: int = 4
    boats: int = 2
    snr_db: float = 5.0
    sir_db: float | None = -5.0
    surface_coefficient: float = 0.0
    roughness_m: float = 0.0
    diffuse: bool = False
    faults: Faults = field(default_factory=Faults)
    calls_from: Path | None = None


def draw_scene(plan: Plan, array: HydrophoneArray, seed: int) -> Scene:
    """A random scene: calls at even intervals from one swimming animal, and boats that pass at 30-150 m.

    Raises:
        OptionError: there are more calls than `MOST_CALLS_PER_S`, or the folder `calls_from` does not exist or holds no clips.
        RecordingError: a clip cannot be read.
    """
    most = int(MOST_CALLS_PER_S * plan.seconds)
    if plan.calls > most:
        raise OptionError(
            f"`calls` {plan.calls} in {plan.seconds:g} s are more than {MOST_CALLS_PER_S:g} per second ({most}); "
            "give fewer, or more `seconds`"
        )
    rng = np.random.default_rng([seed, 7])
    depth = array.depth_m or 0.0
    distance, azimuth = rng.uniform(80, 400), rng.uniform(0, 2 * np.pi)
    heading = rng.uniform(0, 2 * np.pi)
    swim = Course(
        (distance * np.sin(azimuth), distance * np.cos(azimuth), depth - rng.uniform(3, 30)),
        (2 * np.sin(heading), 2 * np.cos(heading), 0.0),
    )
    sounds = _sounds(plan, rng)
    slot = plan.seconds / max(1, plan.calls)
    calls = []
    for k, (kind, sound) in enumerate(sounds):
        sound = sound[: int(0.8 * slot * RATE_HZ)]
        spare = slot - len(sound) / RATE_HZ
        calls.append(
            Call(
                sound=sound, path=swim, begin_s=k * slot + rng.uniform(0.3, 0.7) * spare, snr_db=plan.snr_db, kind=kind
            )
        )
    boats = tuple(crossing_boat(rng, plan.seconds, depth) for _ in range(plan.boats))
    return Scene(
        array=array, seconds=plan.seconds, calls=tuple(calls), boats=boats,
        sir_db=plan.sir_db if boats else None, surface_coefficient=plan.surface_coefficient,
        roughness_m=plan.roughness_m, diffuse=plan.diffuse, faults=plan.faults,
    )  # fmt: skip


def crossing_boat(rng: np.random.Generator, seconds: float, depth_m: float) -> Boat:
    """A simulated boat that passes the array once during the recording."""
    nearest, azimuth, speed = rng.uniform(30, 150), rng.uniform(0, 2 * np.pi), rng.uniform(4, 12)
    velocity = np.array([np.cos(azimuth), -np.sin(azimuth), 0.0]) * speed * rng.choice([-1, 1])
    closest = np.array([nearest * np.sin(azimuth), nearest * np.cos(azimuth), depth_m - 1.0])
    start = closest - velocity * rng.uniform(0.2, 0.8) * seconds
    return Boat(random_boat(rng, min(seconds, 20.0)), Course(tuple(start), tuple(velocity)))


def _sounds(plan: Plan, rng: np.random.Generator) -> list[tuple[str, np.ndarray]]:
    if plan.calls_from is None:
        return [random_call(rng) for _ in range(plan.calls)]
    if not plan.calls_from.is_dir():
        raise OptionError(f"`calls_from` {plan.calls_from}: no such folder; give a folder of WAV or FLAC clips")
    files = sorted(p for p in plan.calls_from.iterdir() if p.suffix.lower() in SOUND_FILES)
    if not files:
        raise OptionError(f"`calls_from` {plan.calls_from}: holds no WAV or FLAC clips")
    return [(file.stem, read_clip(file)) for file in (files[int(i)] for i in rng.integers(len(files), size=plan.calls))]


def read_clip(path: Path) -> np.ndarray:
    """Read the first channel of a clip, `[time]` at `RATE_HZ`.

    Raises:
        RecordingError: the clip cannot be read.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as reason:
        raise RecordingError(f"{path}: cannot read the clip ({reason})") from reason
    return np.asarray(soxr.resample(samples[:, 0], rate, RATE_HZ))


def write_simulation(
    scene: Scene, seed: int, out: Path, name: str = "simulated", *, overwrite: bool = False
) -> SimulatedRecording:
    """Simulate a scene and write `NAME.wav`, `array.toml` and `truth.csv` to the folder `out`.

    The array file does not know the faults, as in real life.

    Raises:
        OutputError: a file cannot be written, or exists and may not be replaced (`overwrite`).
    """
    sound, array, truth = out / f"{name}.wav", out / "array.toml", out / "truth.csv"
    with locked(out):
        untouched((sound, array, truth), overwrite=overwrite)
        sea = simulate(scene, seed)
        scaled = sea.samples.T * (PEAK / np.abs(sea.samples).max())
        with replacing(sound) as beside:
            soundfile.write(sound_path(beside), scaled, RATE_HZ, format="WAV", subtype="PCM_24")
        save_array(scene.array, array)
        write_truth(sea.truth, truth)
    return sea


def write_truth(truth: tuple[TrueCall, ...], path: Path) -> None:
    """Write a CSV file with one row per true call: times at the array, direction, range, levels."""
    rounded = ({k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(call).items()} for call in truth)
    write_table(path, tuple(TrueCall.__dataclass_fields__), rounded)
