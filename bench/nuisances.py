"""`python -m bench.nuisances`: spectrograms of each kind of nuisance and of other cetaceans.

Compare them with spectrograms of recordings. The command writes `nuisances.png` and `other-cetaceans.png` (and the
sounds, with `--wav`) into the folder `--out`, by default `docs`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile
from matplotlib.figure import Figure

from whalefinder.sea.other_cetaceans import SPECIES, random_cetacean
from whalefinder.sea.signals import Floats
from whalefinder.sound import spectrogram
from whalefinder.sound.spectrogram import FRAME_S, RATE_HZ
from whalefinder.training.nuisances import FAMILIES, SAMPLES, kinds_of, random_nuisance
from whalefinder.training.sounds import mono_spectrum

COLUMNS = 8
SEED = 1_000_000_500
RANGE_DB = 60.0
MARKS = {"train": "", "dev": " (dev)", "test": " (test)"}


def level_db(sound: Floats) -> Floats:
    """Levels in dB above a floor that lies 60 dB below the loudest bin. `[time]` → `[frequency, frame]`."""
    power = spectrogram.power(mono_spectrum(sound)).numpy()
    floor = power.max() * 10 ** (-RANGE_DB / 10)
    return np.asarray(10 * np.log10(power / floor + 1), np.float64)


def draw(panels: list[tuple[str, Floats]], path: Path) -> None:
    """Write a picture with a grid of spectrograms of 0-12 kHz and their names to `path`."""
    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(2.0 * COLUMNS, 1.25 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    top_khz = float(spectrogram.frequencies_hz()[-1]) / 1000
    for axis, (name, sound) in zip(axes.flat, panels, strict=False):
        level = level_db(sound)
        extent = (0.0, level.shape[1] * FRAME_S, 0.0, top_khz)
        axis.imshow(level, origin="lower", aspect="auto", extent=extent, cmap="gray_r", vmin=0, vmax=RANGE_DB)
        axis.set_title(name, fontsize=8, pad=2)
    figure.savefig(path, dpi=72)


def kinds(number: int) -> list[tuple[str, Floats]]:
    """One sound of each kind of nuisance: (name, `[time]`). Another `number` gives other random examples."""
    split = {kind: mark for name, mark in MARKS.items() for kind in kinds_of(name)}
    names = [function.__name__ for family in FAMILIES.values() for function in family]
    rngs = [np.random.default_rng([SEED, number]) for _ in names]
    return [
        (name.replace("_", " ") + split[name], random_nuisance(rng, name)[1])
        for name, rng in zip(names, rngs, strict=True)
    ]


def species(number: int) -> list[tuple[str, Floats]]:
    """Two sounds of each species: (name, `[time]` of 4 s). Another `number` gives other random examples."""
    panels = []
    for place, name in enumerate(SPECIES):
        for k in (0, 1):
            sound = random_cetacean(np.random.default_rng([SEED, number, place, k]), name)[1]
            panels.append((name, np.pad(sound, (0, SAMPLES - len(sound)))))
    return panels


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--number", type=int, default=0, help="another number draws other examples")
    parser.add_argument("--wav", action="store_true", help="write the sounds too")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for picture, panels in (("nuisances", kinds(given.number)), ("other-cetaceans", species(given.number))):
        draw(panels, given.out / f"{picture}.png")
        for count, (title, sound) in enumerate(panels if given.wav else []):
            soundfile.write(given.out / f"{picture}-{count:02d}-{title.replace(' ', '-')}.wav", 0.5 * sound, RATE_HZ)
