"""A scene of animals, boats, wind and an array with its faults → a recording and the true calls.

Levels are in dB over the ambient noise, in 0.5-12 kHz at the array. So SNR is the level of a call. SIR is the level of
a call minus that of all boats together during the call.
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
    """One call.

    Args:
        sound: `[time]` at `RATE_HZ`.
        path: path of the animal.
        begin_s: time at which the call arrives at the array's origin.
        snr_db: its SNR in dB.
        kind: name of its kind.
    """

    sound: Floats
    path: Path
    begin_s: float
    snr_db: float
    kind: str = "call"


@dataclass(frozen=True)
class Boat:
    """One boat: its `sound` `[time]` (repeated if it is short), its path, its level in dB over the ambient noise."""

    sound: Floats
    path: Path
    level_db: float = 0.0


@dataclass(frozen=True)
class Faults:
    """Differences between the real array and its array file, as standard deviations.

    Args:
        position_m: of each coordinate of each hydrophone.
        timing_s: of the clock of each hydrophone.
        gain_db: of the gain of each hydrophone.
        sound_speed_m_s: of the sound speed.
    """

    position_m: float = 0.0
    timing_s: float = 0.0
    gain_db: float = 0.0
    sound_speed_m_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All sources of sound, and the array.

    Args:
        array: the array as its file describes it.
        seconds: length of the recording.
        calls: calls of animals.
        boats: boats.
        sir_db: level of the first call over all boats together during the call. None: the boats keep their levels.
        surface_coefficient: amplitude of the surface image, 0 = none, -0.8 = a calm sea.
        roughness_m: r.m.s. height of the surface, metres.
        diffuse: True for wind noise from all directions, False for independent noise at each hydrophone.
        faults: how the real array differs from its file.
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
    """The truth about one call: times at the array (s), direction (degrees), range (m), levels (dB)."""

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
    """A recording: `samples` `[channel, time]` at `RATE_HZ`, its parts in the same shape, and the true calls."""

    samples: Floats
    calls: Floats
    boats: Floats
    ambient: Floats
    truth: tuple[TrueCall, ...]


def simulate(scene: Scene, seed: int) -> SimulatedRecording:
    """Compute the recording of a scene. The same seed gives the same recording."""
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
    """Apply the faults of gain and clock of each channel. They are the same for all parts of one recording."""
    if not faults.gain_db and not faults.timing_s:
        return x
    rng = np.random.default_rng([seed, 5])
    gain = 10 ** (faults.gain_db * rng.standard_normal(len(x)) / 20)
    delay = faults.timing_s * rng.standard_normal(len(x))
    hz = np.fft.rfftfreq(x.shape[1], 1 / RATE_HZ)
    shift = np.exp(-2j * np.pi * hz * delay[:, None])
    return np.fft.irfft(np.fft.rfft(x) * gain[:, None] * shift, x.shape[1])


def _emission_s(call: Call, array: HydrophoneArray) -> float:
    """Time at which a call must leave the whale to reach the array's origin at `begin_s`."""
    leave = call.begin_s
    for _ in range(5):  # fixed-point iteration; each round makes the error v/c = 1/1000 as large
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
    """The sound played forwards and backwards in turn, so that it has no jump, for the recording plus two seconds."""
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
