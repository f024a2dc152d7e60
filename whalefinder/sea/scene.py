"""A scene: animals, boats, wind, an array with its faults → a recording and the truth.

Levels are band levels (0.5-12 kHz) at the array over the ambient noise, so SNR is the level of a call and
SIR the level of a call less that of all boats together while it sounds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from whalefinder.array.geometry import HydrophoneArray, angles
from whalefinder.sea.ambient import wind_noise
from whalefinder.sea.propagation import Path, receive, roughened
from whalefinder.sea.signals import Floats, band_power
from whalefinder.sound.spectrogram import RATE_HZ


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call: `sound` `[time]`, where the animal is, when it arrives at the array, its SNR in dB."""

    sound: Floats
    path: Path
    begin_s: float
    snr_db: float
    kind: str = "call"


@dataclass(frozen=True)
class Boat:
    """One boat: `sound` `[time]` (repeated when short), its path, its relative level in dB."""

    sound: Floats
    path: Path
    level_db: float = 0.0


@dataclass(frozen=True)
class Faults:
    """One-sigma errors of the real array against its file: per axis and phone, per phone, per phone, once."""

    position_m: float = 0.0
    timing_s: float = 0.0
    gain_db: float = 0.0
    sound_speed_m_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that sounds.

    Args:
        sir_db: level of the first call over all boats while it sounds; None keeps the boats' own levels
            (dB over the ambient).
        surface_coefficient: amplitude of the surface image, 0 = none, -0.8 = a calm sea.
        roughness_m: r.m.s. height of the surface.
        diffuse: wind noise from all sides instead of independent hydrophones.
    """

    array: HydrophoneArray
    seconds: float
    calls: tuple[Call, ...] = ()
    boats: tuple[Boat, ...] = ()
    sir_db: float | None = None
    surface_coefficient: float = 0.0
    roughness_m: float = 0.0
    diffuse: bool = False
    faults: Faults = field(default_factory=Faults)


@dataclass(frozen=True, kw_only=True)
class TrueCall:
    """What was there: times at the array (s), direction (degrees), range (m), levels (dB)."""

    begin_s: float
    end_s: float
    kind: str
    azimuth_deg: float
    elevation_deg: float
    range_m: float
    snr_db: float
    sir_db: float | None


@dataclass(frozen=True, kw_only=True)
class SimulatedRecording:
    """`samples` `[channel, time]` at `RATE_HZ`, its parts of the same shape, and the truth."""

    samples: Floats
    calls: Floats
    boats: Floats
    ambient: Floats
    truth: tuple[TrueCall, ...]


def simulate(scene: Scene, seed: int) -> SimulatedRecording:
    """Let the scene sound. The same seed gives the same sea."""
    rng = np.random.default_rng([seed, 4])
    array = _faulty(scene.array, scene.faults, rng)
    samples = round(scene.seconds * RATE_HZ)
    ambient = wind_noise(rng, samples, array.positions_m, array.sound_speed_m_s, diffuse=scene.diffuse)
    calls = np.zeros_like(ambient)
    spans = []
    for call in scene.calls:
        heard, span = _heard_call(call, scene, array, samples)
        calls += heard * _gain(heard[:, span], call.snr_db)
        spans.append(span)
    boats = np.zeros_like(ambient)
    for boat in scene.boats:
        heard = _heard(_repeated(boat.sound, samples), boat.path, scene, array, -1.0, samples)
        boats += heard * _gain(heard, boat.level_db)
    if scene.sir_db is not None and scene.boats and spans:
        boats *= np.sqrt(band_power(calls[:, spans[0]]) / band_power(boats[:, spans[0]])) * 10 ** (-scene.sir_db / 20)
    truth = tuple(_truth(call, span, calls, boats, array) for call, span in zip(scene.calls, spans, strict=True))
    total = calls + boats + ambient
    total, calls, boats, ambient = (_instrument(x, scene.faults, seed) for x in (total, calls, boats, ambient))
    return SimulatedRecording(samples=total, calls=calls, boats=boats, ambient=ambient, truth=truth)


def _faulty(array: HydrophoneArray, faults: Faults, rng: np.random.Generator) -> HydrophoneArray:
    return replace(
        array,
        positions_m=array.positions_m + faults.position_m * rng.standard_normal(array.positions_m.shape),
        sound_speed_m_s=array.sound_speed_m_s + faults.sound_speed_m_s * float(rng.standard_normal()),
    )


def _instrument(x: Floats, faults: Faults, seed: int) -> Floats:
    """Gain and clock of each channel: the same for every part of one recording."""
    if not faults.gain_db and not faults.timing_s:
        return x
    rng = np.random.default_rng([seed, 5])
    gain = 10 ** (faults.gain_db * rng.standard_normal(len(x)) / 20)
    delay = faults.timing_s * rng.standard_normal(len(x))
    hz = np.fft.rfftfreq(x.shape[1], 1 / RATE_HZ)
    shift = np.exp(-2j * np.pi * hz * delay[:, None])
    return np.fft.irfft(np.fft.rfft(x) * gain[:, None] * shift, x.shape[1])


def _emission_s(call: Call, array: HydrophoneArray) -> float:
    """When a call must leave the whale to reach the array's origin at `begin_s`."""
    leave = call.begin_s
    for _ in range(5):  # fixed point; converges by v/c = 1/1000 a turn
        leave = call.begin_s - float(np.linalg.norm(call.path.at(leave))) / array.sound_speed_m_s
    return leave


def _heard_call(call: Call, scene: Scene, array: HydrophoneArray, samples: int) -> tuple[Floats, slice]:
    heard = _heard(call.sound, call.path, scene, array, _emission_s(call, array), samples)
    begin = max(0, round(call.begin_s * RATE_HZ))
    return heard, slice(begin, min(samples, begin + len(call.sound)))


def _heard(sound: Floats, path: Path, scene: Scene, array: HydrophoneArray, emitted_s: float, samples: int) -> Floats:
    heard = receive(sound, path, array.positions_m, array.sound_speed_m_s, emitted_s=emitted_s, samples=samples)
    if scene.surface_coefficient:
        depth = array.depth_m or 0.0
        image = path.mirrored(depth)
        middle = image.at(emitted_s + len(sound) / RATE_HZ / 2)
        grazing = np.arctan2(middle[2], np.hypot(middle[0], middle[1]))
        sound = roughened(sound, float(grazing), scene.roughness_m, array.sound_speed_m_s)
        heard += scene.surface_coefficient * receive(
            sound, image, array.positions_m, array.sound_speed_m_s, emitted_s=emitted_s, samples=samples
        )
    return heard


def _repeated(sound: Floats, samples: int) -> Floats:
    """Long enough for the recording plus a second on either side, there and back without a step."""
    there_and_back = np.concatenate([sound, sound[::-1]])
    return np.resize(there_and_back, samples + 2 * RATE_HZ)


def _gain(heard: Floats, level_db: float) -> float:
    power = band_power(heard)
    return 0.0 if power == 0 else float(10 ** (level_db / 20) / np.sqrt(power))


def _truth(call: Call, span: slice, calls: Floats, boats: Floats, array: HydrophoneArray) -> TrueCall:
    middle = call.path.at(_emission_s(call, array) + len(call.sound) / RATE_HZ / 2)
    azimuth, elevation = angles(middle)
    interference = band_power(boats[:, span])
    sir = 10 * np.log10(band_power(calls[:, span]) / interference) if interference > 0 else None
    return TrueCall(
        begin_s=call.begin_s,
        end_s=call.begin_s + len(call.sound) / RATE_HZ,
        kind=call.kind,
        azimuth_deg=float(np.degrees(azimuth)),
        elevation_deg=float(np.degrees(elevation)),
        range_m=float(np.linalg.norm(middle)),
        snr_db=call.snr_db,
        sir_db=None if sir is None else float(sir),
    )
