"""What the tests of archives share: a little archive whose calls are known, and its tables."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from tests.helpers import RATE, array
from whalefinder.archive.run import Archive, Crew
from whalefinder.array.array_file import save_array
from whalefinder.array.geometry import direction
from whalefinder.options import LocateOptions
from whalefinder.sea import propagation
from whalefinder.sea.calls import random_call
from whalefinder.sea.scene import Call, Scene, simulate

TABLES = ("detections.csv", "tracks.csv", "recordings.csv", "problems.csv")
ROOT = Path(__file__).parent.parent


@lru_cache
def swim() -> np.ndarray:
    """Nine seconds, calls from 1.5 to 2.2 s and from 5.5 to 6.9 s. `[time, channel]`."""
    calls = []
    for k, azimuth in enumerate((45.0, 50.0)):
        u = direction(math.radians(azimuth), math.radians(-5.0))
        sound = random_call(np.random.default_rng(k), "pulsed")[1]
        calls.append(Call(sound=sound, path=propagation.Path(tuple(150 * u)), begin_s=1.5 + 4 * k, snr_db=15.0))
    sea = simulate(Scene(array=array(), seconds=9.0, calls=tuple(calls)), 3)
    return sea.samples.T / np.abs(sea.samples).max() / 2


def write(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "FLOAT") -> Path:
    """One recording, if nothing else is said of 32-bit floats so that nothing is rounded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def make_archive(folder: Path, hours: int) -> Path:
    """An array file and one recording in each of some hours: as many units."""
    folder.mkdir(exist_ok=True)
    save_array(array(), folder / "array.toml")
    first = write(folder / "sound" / "swim_20260701_100000.wav", swim())
    for hour in range(11, 10 + hours):
        shutil.copy(first, first.with_name(f"swim_20260701_{hour}0000.wav"))
    return folder / "sound"


def found_in(folder: Path, out: Path, crew: Crew | None = None, toml: Path | None = None, **options: object):
    """Run an archive in this process. → its summary"""
    toml = toml or folder.parent / "array.toml"
    return Archive([str(folder)], toml, out, LocateOptions(**options)).run(crew or Crew())


def tables(out: Path) -> dict[str, bytes]:
    """The bytes of all tables."""
    return {name: (out / name).read_bytes() for name in TABLES}


def command(*arguments: object, patch: str = "") -> list[str]:
    """A command line that runs `whalefinder archive` in a Python of its own, after the lines of `patch`."""
    code = f"{patch}\nfrom whalefinder.cli import main\nmain()"
    return [sys.executable, "-c", code, "archive", *map(str, arguments)]


def environment(*before: Path) -> dict[str, str]:
    """That of the tests, with one thread, as several processes share the cores; modules are looked for in `before` first."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, (*before, ROOT)))}


def start(*arguments: object, patch: str = "", before: tuple[Path, ...] = ()) -> subprocess.Popen[str]:
    """Start `whalefinder archive` in a process group of its own, as a terminal does."""
    return subprocess.Popen(
        command(*arguments, patch=patch),
        env=environment(*before),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A test run in the background ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
