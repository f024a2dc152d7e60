"""What is made of recordings: calls in ships at a known ratio, nuisances alone and over quiet sea, the cases of the data's folder."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from zlib import crc32

import numpy as np
from scipy.ndimage import uniform_filter1d

import whalefinder.training.nuisances as simulated
from bench.hearing.kept import Kept, code_of
from bench.hearing.sounds import ALONE, OVER_AMBIENT, Samples, Sound, of_clip, without_orcas
from whalefinder.sea import signals
from whalefinder.sound import spectrogram
from whalefinder.sound.spectrogram import FRAME_S, RATE_HZ
from whalefinder.training.clips import Clip, data_folder, find_clips, source_of
from whalefinder.training.nuisances import SECONDS, kinds_of, random_nuisance
from whalefinder.training.sounds import mono_spectrum

SEED = 1_000_000_012
RATIOS_DB = (-20, -10, 0, 10)
SCENE_S = 8.0
LONGEST_CALL_S, MOST_PIECES = 3.0, 3
FEWEST = 12  # calls of a dialect; of fewer, each is mixed into several ships
NUISANCE_SCENE_S = 7.0
NUISANCE_DB = (-5.0, 15.0)


def calls(split: str) -> list[Sound]:
    """Calls by dialect: unmixed, and in ships of the split at every ratio of `RATIOS_DB`.

    The dialects of `riptide_orca` are rows of the train split, and are heard in the ships of either split. Only Bigg's
    can be new to weights, if they were trained without this source. J and L pods are southern residents, and these are
    also in the field clips `jpod`, `kpod` and `lpod` and in Ford's catalogue.
    """
    groups: dict[str, list[tuple[Clip, float, float]]] = {}
    for clip in find_clips("calls", split) + find_clips("calls", "train"):
        if "orcaal" in clip.path.parent.name or "_clicks_" in clip.path.stem:
            continue  # labels that nobody believes; clicks, which are no calls
        if clip.split == "train" and "riptide" not in clip.path.parent.name:
            continue
        groups.setdefault(source_of(clip), []).extend((clip, *piece) for piece in pieces_of(clip))
    found = []
    for dialect, cuts in groups.items():
        for clip, begin_s, end_s in cuts:
            sound = of_clip(clip, "calls", dialect, clip.path.parent.name)
            if clip.split == split or split == "dev":  # train rows are heard unmixed once
                source = f"{clip.path.stem} {begin_s:.1f}"
                found.append(replace(sound, span_s=(begin_s, end_s), source=source))
            for ratio in RATIOS_DB:
                for again in range(-(-FEWEST // len(cuts))):
                    found.append(in_ship(clip, (begin_s, end_s), split, ratio, again))
    return found


def pieces_of(clip: Clip) -> list[tuple[float, float]]:
    """The clip's calls, seconds: all of a short clip, the most tonal stretches of a long one, which nobody cut into calls."""
    samples = clip.read()
    seconds = len(samples) / RATE_HZ
    if seconds <= LONGEST_CALL_S * 4 / 3:
        return [(0.0, seconds)]
    power = spectrogram.power(mono_spectrum(samples))[spectrogram.in_band(clip.bandwidth_hz)].numpy()
    ratio = power / np.maximum(np.median(power, axis=1, keepdims=True), 1e-20)
    share = ratio / ratio.sum(0)
    order = 1 + (share * np.log(share + 1e-12)).sum(0) / np.log(len(share))  # 1 - entropy: 0 for a click
    frames = round(LONGEST_CALL_S / FRAME_S)
    level = uniform_filter1d(ratio.mean(0) * order, frames)[frames // 2 : -(frames // 2)]
    pieces: list[tuple[float, float]] = []
    for at in np.argsort(-level):
        begin = at * FRAME_S
        if len(pieces) < MOST_PIECES and all(abs(begin - other) >= LONGEST_CALL_S for other, _ in pieces):
            pieces.append((begin, begin + LONGEST_CALL_S))
    return sorted(pieces)


def in_ship(clip: Clip, piece_s: tuple[float, float], split: str, ratio_db: int, again: int) -> Sound:
    """A call in the middle part of `SCENE_S` of a ship, call over ship in 0.5-12 kHz over the call's duration."""
    source = f"{clip.path.stem} {piece_s[0]:.1f}"
    seed = [SEED, crc32(source.encode()), 1 if split == "dev" else 2, ratio_db + 100, again]
    length = min(piece_s[1] - piece_s[0], SCENE_S)
    begin_s = float(np.random.default_rng(seed).uniform(0.5, SCENE_S - length - 0.5))

    def read() -> Samples:
        rng = np.random.default_rng([*seed, 1])
        ships = _ships(split)
        noise = _stretch(rng, ships[int(rng.integers(len(ships)))], SCENE_S)
        call = _samples_of(clip)[int(piece_s[0] * RATE_HZ) :][: int(length * RATE_HZ)]
        return added(noise, call, begin_s, ratio_db)

    return Sound(
        part="calls", row=source_of(clip), place=clip.path.parent.name, split=split, source=source,
        read=read, column=f"{ratio_db:+d} dB", span_s=(begin_s, begin_s + length),
    )  # fmt: skip


def added(noise: Samples, piece: Samples, begin_s: float, ratio_db: float) -> Samples:
    """`noise` with a piece in it, piece over noise in 0.5-12 kHz over the piece's duration. → `[time]`."""
    piece = piece * signals.taper(len(piece), 0.03)
    span = slice(int(begin_s * RATE_HZ), int(begin_s * RATE_HZ) + len(piece))
    gain = math.sqrt(signals.band_power(noise[span]) * 10 ** (ratio_db / 10) / max(signals.band_power(piece), 1e-30))
    mixed = noise.astype(np.float64)
    mixed[span] += gain * piece
    return (mixed / max(1.0, float(np.abs(mixed).max()))).astype(np.float32)


def _stretch(rng: np.random.Generator, samples: Samples, seconds: float) -> Samples:
    """A part of so many seconds, to and fro where there are fewer."""
    wanted = int(seconds * RATE_HZ)
    while len(samples) < wanted:
        samples = np.concatenate([samples, samples[::-1]])
    begin = int(rng.integers(0, len(samples) - wanted + 1))
    return samples[begin : begin + wanted]


@lru_cache(maxsize=2)
def _ships(split: str) -> list[Samples]:
    return [clip.read() for clip in find_clips("boats", split)]


@lru_cache(maxsize=8)
def _samples_of(clip: Clip) -> Samples:
    return clip.read()


@lru_cache(maxsize=2)
def _quiet(split: str) -> list[Samples]:
    return [sound.read() for sound in without_orcas(split) if sound.row == "ambient"]


def nuisances(split: str, each: int, cache: Path) -> list[Sound]:
    """Simulated sounds of the split's own kinds, on which nothing is trained, alone and over ambient recordings.

    Args:
        each: sounds of a kind.
        cache: folder for the sounds; some kinds take half a second to draw.
    """
    kept = Kept(cache / "nuisances", code_of(signals, simulated))
    return [
        _nuisance(kind, split, k, column, kept)
        for kind in kinds_of(split)
        for k in range(each)
        for column in (ALONE, OVER_AMBIENT)
    ]


def _nuisance(kind: str, split: str, k: int, column: str, kept: Kept) -> Sound:
    seed = [SEED, crc32(kind.encode()), 1 if split == "dev" else 2, k]
    begin_s = float(np.random.default_rng([*seed, 2]).uniform(0, NUISANCE_SCENE_S - SECONDS))

    def make() -> dict[str, np.ndarray]:
        return {"sound": random_nuisance(np.random.default_rng(seed), kind)[1].astype(np.float16)}

    def read() -> Samples:
        rng = np.random.default_rng([*seed, 1])
        sound = kept.get(make, np.array(seed))["sound"].astype(np.float32)
        if column == ALONE:
            # With a recorder's own noise, white and faint. Digital silence is a case of its own.
            return (0.5 * sound + 1e-4 * rng.standard_normal(len(sound))).astype(np.float32)
        quiet = _quiet(split)
        noise = _stretch(rng, quiet[int(rng.integers(len(quiet)))], NUISANCE_SCENE_S)
        return added(noise, sound, begin_s, float(rng.uniform(*NUISANCE_DB)))

    return Sound(
        part="nuisances", row=kind.replace("_", " "), place="simulated", split=split, source=f"{kind} {k}", read=read,
        column=column, span_s=(begin_s, begin_s + SECONDS) if column == OVER_AMBIENT else None,
    )  # fmt: skip


def cases(folder: Path) -> list[Sound]:
    """Recordings without a whale that the scripts beside the data make (`cases/*-no-whale.py`), one hydrophone each.

    Args:
        folder: where they are written, once.
    """
    found = []
    for script in sorted((data_folder().resolve().parent / "cases").glob("*no-whale.py")):
        out = folder / script.stem
        if not out.is_dir():
            out.mkdir(parents=True)
            subprocess.run([sys.executable, script], cwd=out, check=True, capture_output=True)
        for path in sorted(out.glob("*_mono*.wav")):
            clip = Clip(
                path=path, kind="cases", label="no_orca", sublabel="", split="made", use="evaluate", rate_hz=RATE_HZ
            )
            found.append(of_clip(clip, "alone", f"case: {path.stem.split('_mono')[0].replace('_', ' ')}", "simulated"))
    return found
