"""Labelled sound for the classifier: endless mixtures to learn from, and clips of real sound to judge by.

A clip's source must not give its class away. So a background (wind or a real quiet stretch, boats, nuisances, a
recorder's colour and band) is drawn first and knows nothing of the class: the example with a call and the one without
share it to the sample. Calls are only what stands out of their clip, without its own noise and edges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whalefinder.calls.classification import WINDOW_FRAMES, planes_of
from whalefinder.results.records import AMBIENT, BOAT, ORCA, OTHER_CETACEAN
from whalefinder.sea import signals
from whalefinder.sound import spectrogram
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training import clips
from whalefinder.training.sounds import band_power, cut, levelled, sounding, wind_slope
from whalefinder.training.sources import Source, Sources, catalogue_calls
from whalefinder.training.sources import build_sources as build_sources  # for those who draw from them

SIR_DB = (-12.0, 15.0)
"""Call over everything else, 0.5-12 kHz, over the call's frames."""
DOMINATES = 2.0  # a boat of twice the ambient's power is what one hears
EVALUATION_SEED = 1_000_000_000
CLIP_S = 3.0


@dataclass(frozen=True, kw_only=True)
class LabelledClip:
    """A clip of real sound, `[time]` at `RATE_HZ`, and what it is.

    Args:
        label: one of `LABELS`.
        source: name of the call's clip, or of the background's where there is no call: the unit of a bootstrap.
        group: the background's recording: the unit of a split.
        snr_db: the call over the background, 0.5-12 kHz; NaN without a call or where nobody knows.
        bandwidth_hz: what its recorder could hold.
    """

    samples: NDArray[np.float32]
    label: str
    source: str
    group: str
    snr_db: float = math.nan
    bandwidth_hz: float = RATE_HZ / 2
    kind: str = "mixture"


@dataclass(frozen=True)
class Info:
    """What one example was made of: name of its call or "", of its boats, call over background in dB."""

    call: str
    boats: tuple[str, ...]
    snr_db: float


@dataclass(frozen=True)
class Drawn:
    """A batch: planes `[batch, plane, frequency, frame]`, class indices `[batch]`, and one `Info` each."""

    planes: Tensor
    labels: Tensor
    info: list[Info]


# Examples ------------------------------------------------------------------------------------------------------------


def class_of(seed: int, index: int, boat_ratio: float | None) -> int | None:
    """Class of the call in example `index`, None without one; known before anything is drawn.

    Args:
        boat_ratio: n of orca:boat = 1:n; None for pairs, the even index with a call, the odd one without.
    """
    draw = np.random.default_rng([seed, 12, index]).random()
    if boat_ratio is None:
        return None if index % 2 else (ORCA if draw < 0.75 else OTHER_CETACEAN)
    return ORCA if draw < 1 / (1 + boat_ratio) else None


def draw(
    sources: Sources,
    seed: int,
    indices: list[int],
    *,
    augment: int | None = None,
    boat_ratio: float | None = None,
    frames: int = WINDOW_FRAMES,
) -> Drawn:
    """Examples by number; the same number is the same example, whenever it is drawn.

    Args:
        augment: a number (the step) that varies the examples: colour, band, masks; None leaves them as they are.
        boat_ratio: see `class_of`; without it 2k and 2k + 1 share one background.
        frames: length of the examples.
    """
    spectra, valid, labels, info = [], [], [], []
    background_of = lru_cache(maxsize=4)(lambda number: _background(sources, [seed, 13, number], frames))
    for index in indices:
        background = index if boat_ratio is not None else index // 2
        plain, usable, boats, dominated = background_of(background)
        example = plain
        call = class_of(seed, index, boat_ratio)
        label, name, snr = dominated, "", math.nan
        if call is not None:
            rng = np.random.default_rng([seed, 14, index])
            example, name, snr = _with_call(rng, sources.orca if call == ORCA else sources.other, example)
            label = call if name else label
        if augment is not None:
            rng = np.random.default_rng([seed, 16, background, augment])
            example, usable = _recoloured(rng, example, usable, plain)
        spectra.append(example * usable[:, None])
        valid.append(usable)
        labels.append(label)
        info.append(Info(name, boats, snr))
    planes = planes_of(torch.stack(spectra)[:, None], torch.stack(valid))
    if augment is not None:
        planes = _masked(np.random.default_rng([seed, 15, augment]), planes)
    return Drawn(planes, torch.tensor(labels), info)


def _background(sources: Sources, seed: list[int], frames: int) -> tuple[Tensor, Tensor, tuple[str, ...], int]:
    """Spectrum, usable bins, names of the boats, and `BOAT` or `AMBIENT`; knows nothing of a call."""
    rng = np.random.default_rng(seed)
    total, loudest = _ambient(rng, sources, frames), 0.0
    names = []
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.3, 0.4, 0.2, 0.1]))):
        source = sources.boats[int(rng.integers(len(sources.boats)))]
        level = 10 ** (rng.uniform(-6, 30) / 10)
        total = total + cut(rng, source.spectrum, frames) * _smooth_gain(rng, 3.0) * math.sqrt(level)
        names.append(source.name)
        loudest = max(loudest, level)
    if sources.nuisances:
        for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.3, 0.4, 0.2, 0.1]))):
            source = sources.nuisances[int(rng.integers(len(sources.nuisances)))]
            level = 10 ** (rng.uniform(-12, 15) / 20) * (1 + math.sqrt(loudest))
            total = total + cut(rng, source.spectrum, frames) * level
    usable = torch.ones(spectrogram.NUM_BINS, dtype=torch.bool)
    return total, usable, tuple(names), BOAT if loudest > DOMINATES else AMBIENT


def _ambient(rng: np.random.Generator, sources: Sources, frames: int) -> Tensor:
    """Wind noise of power 1 in band with its own slope, or a real quiet stretch."""
    if sources.ambient and rng.random() < 0.35:
        source = sources.ambient[int(rng.integers(len(sources.ambient)))]
        return cut(rng, source.spectrum, frames) * _smooth_gain(rng, 3.0)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    noise = torch.randn(spectrogram.NUM_BINS, frames, dtype=torch.complex64, generator=generator)
    return levelled(noise * wind_slope(rng)[:, None] * _smooth_gain(rng, 4.0))


def _smooth_gain(rng: np.random.Generator, spread_db: float) -> Tensor:
    """A smooth random response over log frequency, amplitude `[frequency, 1]`."""
    knots = rng.normal(0, spread_db, 8)
    hz = spectrogram.frequencies_hz().numpy()
    gain_db = np.interp(np.log(hz), np.linspace(np.log(hz[0]), np.log(hz[-1]), 8), knots)
    return torch.from_numpy(10 ** (gain_db / 20)).float()[:, None]


def _with_call(rng: np.random.Generator, pool: list[Source], background: Tensor) -> tuple[Tensor, str, float]:
    """A call put somewhere into the background at a known ratio, whole or cut by an edge by up to a third."""
    source = pool[int(rng.integers(len(pool)))]
    length, frames = source.spectrum.shape[-1], background.shape[-1]
    at = int(rng.integers(-length // 4, max(1, frames - 3 * length // 4)))
    begin, end = max(0, at), min(frames, at + length)
    call = source.spectrum[:, begin - at : end - at] * _smooth_gain(rng, 2.0)
    heard = sounding(call)
    power = band_power(call[:, heard])
    if not power > 0:  # nothing, or not a number where no frame sounds
        return background, "", math.nan
    noise = band_power(background[:, begin:end][:, heard])
    snr_db = float(rng.uniform(*SIR_DB))
    mixed = background.clone()
    mixed[:, begin:end] += call * (noise * 10 ** (snr_db / 10) / power).sqrt()
    return mixed, source.name, snr_db


def _recoloured(
    rng: np.random.Generator, spectrum: Tensor, usable: Tensor, background: Tensor
) -> tuple[Tensor, Tensor]:
    """Another recorder: response, band (said in `usable` or not), noise floor, a silent begin.

    Nothing of it depends on the call: the floor follows the `background`.
    """
    spectrum = spectrum * _smooth_gain(rng, 5.0)
    if rng.random() < 0.45:
        # Of these every fourth is a recorder of 8-10 kHz, on whose few bins noise looks like calls most easily.
        limit = int(rng.integers(60, spectrogram.NUM_BINS) if rng.random() < 0.75 else rng.integers(60, 96))
        spectrum = spectrum.clone()
        spectrum[limit:] *= 10 ** (-rng.uniform(20, 80) / 20)
        if rng.random() < 0.6:
            usable = usable & (torch.arange(len(usable)) < limit)
    if rng.random() < 0.3:  # quantisation: white
        floor = spectrogram.power(background).median().sqrt() * 10 ** (-rng.uniform(-15, 20) / 20)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        spectrum = spectrum + floor * torch.randn(spectrum.shape, dtype=spectrum.dtype, generator=generator)
    if rng.random() < 0.03:
        silent = int(rng.integers(1, spectrum.shape[-1] // 2))
        spectrum = torch.cat([torch.zeros_like(spectrum[:, :silent]), spectrum[:, silent:]], dim=-1)
    return spectrum, usable


def _masked(rng: np.random.Generator, planes: Tensor) -> Tensor:
    """Hide a band and a moment in half of the examples."""
    for example in planes:
        if rng.random() < 0.5:
            low, width = int(rng.integers(0, planes.shape[-2])), int(rng.integers(2, 25))
            example[:, low : low + width] = 0.0
        if rng.random() < 0.5:
            begin, width = int(rng.integers(0, planes.shape[-1])), int(rng.integers(1, 10))
            example[..., begin : begin + width] = 0.0
    return planes


# Real sound to judge by ----------------------------------------------------------------------------------------------


def evaluation_mixtures(
    split: str, count: int = 200, seed: int = EVALUATION_SEED, sir_db: tuple[float, float] = (-10.0, 10.0)
) -> list[LabelledClip]:
    """Real calls of a split mixed into its real ships, and as many cuts of ships alone; [] without data.

    The same ships, the same places for both; SIR in 0.5-12 kHz over the call. Bootstrap over `source`.

    Args:
        split: `dev` or `test`.
        count: of clips in all.
    """
    calls, ships = catalogue_calls(split), clips.find_clips("boats", split)
    if not calls or not ships:
        return []
    sounds, noises = [clip.read() for clip in calls], [clip.read() for clip in ships]
    mixtures = []
    for k in range(count):
        rng = np.random.default_rng([seed, 1 if split == "dev" else 2, k])
        # Every second one with a call; calls and ships take turns, so that each counts alike.
        which, ship = (k // 2) % len(calls), int(rng.integers(len(ships)))
        samples = int(CLIP_S * RATE_HZ)
        begin = int(rng.integers(0, max(1, len(noises[ship]) - samples)))
        noise = noises[ship][begin : begin + samples].copy()
        group, bandwidth_hz = ships[ship].path.stem, 0.46 * ships[ship].rate_hz
        if k % 2:
            mixtures.append(
                LabelledClip(samples=noise, label="boat", source=group, group=group, bandwidth_hz=bandwidth_hz)
            )
            continue
        sir = float(rng.uniform(*sir_db))
        mixed = _mix(rng, sounds[which], noise, sir)
        mixtures.append(
            LabelledClip(
                samples=mixed,
                label="orca",
                source=calls[which].path.stem,
                group=group,
                snr_db=sir,
                bandwidth_hz=bandwidth_hz,
            )
        )
    return mixtures


def _mix(
    rng: np.random.Generator, sound: NDArray[np.float32], noise: NDArray[np.float32], sir_db: float
) -> NDArray[np.float32]:
    call = (sound * signals.taper(len(sound), 0.03))[: len(noise)]
    at = int(rng.integers(0, len(noise) - len(call) + 1))
    span = slice(at, at + len(call))
    gain = math.sqrt(signals.band_power(noise[span]) * 10 ** (sir_db / 10) / max(signals.band_power(call), 1e-30))
    mixed = noise.astype(np.float64)
    mixed[span] += gain * call
    return mixed.astype(np.float32)


def real_clips(*, other_species: bool = False) -> list[LabelledClip]:
    """Real, unmixed clips of the dev split with a call and without; nothing of them is trained on.

    Args:
        other_species: the other whales' and dolphins' clips instead, named `other_cetacean`; `source` is the species.
    """
    if other_species:
        rows = [(clip, "other_cetacean") for clip in clips.find_clips("other_species", "dev")]
    else:
        rows = [(clip, "orca") for clip in clips.find_clips("calls", "dev") if "orcaal" in clip.path.parent.name]
        rows += [(clip, "ambient") for clip in clips.find_clips("ambient", "dev") if "orcaal" in clip.path.parent.name]
    return [
        LabelledClip(
            samples=clip.read(), label=label, source=clip.label if other_species else clip.path.stem, group=clip.path.parent.name,
            bandwidth_hz=0.46 * clip.rate_hz, kind="real",
        )
        for clip, label in rows
    ]  # fmt: skip
