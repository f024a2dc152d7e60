"""What an array is planned for: a call, the sea's noise and boats."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from whalefinder.array.cramer_rao import Complexes
from whalefinder.array.geometry import Floats, HydrophoneArray, direction, distances_m
from whalefinder.array.limit import TypicalCall
from whalefinder.errors import OptionError

LEAST_FREQUENCIES = 24
SAMPLES_PER_FRINGE = 3
BOAT = re.compile(r"\s*([-+]?\d+(?:\.\d*)?)\s*(?:,\s*([-+]?\d+(?:\.\d*)?)\s*)?")
INCOHERENT = 1e-3
"""Share of diffuse noise that is independent at each hydrophone (electronics), so that Q can be inverted at 0.4 kHz."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """A call in noise. Call, ambient and boats have flat spectra in the band of the call; levels are taken there.

    Args:
        call: its length, its band, and its SNR (over ambient alone).
        boats_deg: (azimuth, elevation) of each boat, degrees. All are equally loud.
        sir_db: power of the call over all boats together, dB.
        diffuse: ambient noise comes from all directions, instead of being independent at each hydrophone.
    """

    call: TypicalCall = field(default_factory=TypicalCall)
    boats_deg: tuple[tuple[float, float], ...] = ()
    sir_db: float = -10.0
    diffuse: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.call.low_hz < self.call.high_hz:
            raise OptionError(
                f"`low` {self.call.low_hz:g} Hz is not below `high` ({self.call.high_hz:g} Hz); give a band such as "
                "1000 to 6000"
            )

    @property
    def snr(self) -> float:
        """Power of the call in one bin of one hydrophone, if that of ambient is 1."""
        return 10.0 ** (self.call.snr_db / 10)

    @property
    def snapshots(self) -> float:
        """B T: independent bins that the call fills."""
        return (self.call.high_hz - self.call.low_hz) * self.call.seconds

    def frequencies_hz(self, aperture_m: float, sound_speed_m_s: float) -> Floats:
        """Frequencies that stand for the band: so dense that they sample the fringes of the widest pair."""
        band = self.call.high_hz - self.call.low_hz
        fringe = sound_speed_m_s / (2 * aperture_m)
        number = max(LEAST_FREQUENCIES, math.ceil(SAMPLES_PER_FRINGE * band / fringe))
        return self.call.low_hz + band * (np.arange(number) + 0.5) / number

    def noise(self, array: HydrophoneArray, frequencies_hz: Floats) -> Complexes:
        """Covariance of ambient and boats, Q = N + Σ P_b a_b a_bᴴ. → `[frequency, channel, channel]`."""
        f = frequencies_hz[:, None, None]
        same = np.eye(array.num_channels)
        if self.diffuse:
            # The coherence of isotropic noise is sin(kd) / kd; np.sinc(x) is sin(πx) / πx.
            coherence = np.sinc(2 * f * distances_m(array.positions_m) / array.sound_speed_m_s)
            q = (coherence + INCOHERENT * same).astype(np.complex128)
        else:
            q = np.tile(same.astype(np.complex128), (len(frequencies_hz), 1, 1))
        if self.boats_deg:
            towards = np.radians(self.boats_deg)
            delays = array.delays_s(direction(towards[:, 0], towards[:, 1]))
            a = np.exp(-2j * np.pi * f * delays)  # [frequency, boat, channel]
            each = self.snr / 10.0 ** (self.sir_db / 10) / len(self.boats_deg)
            q += each * np.einsum("fbm,fbn->fmn", a, a.conj())
        return q


def boats_round(number: int) -> tuple[tuple[float, float], ...]:
    """Boats spread evenly round the horizon, the first in the north: (azimuth, elevation) in degrees."""
    return tuple((360.0 * k / number, 0.0) for k in range(number))


def read_boats(texts: Sequence[str]) -> tuple[tuple[float, float], ...]:
    """Directions of boats from texts such as `40` or `40,5`: azimuth, and elevation (0 if it is left out), in degrees.

    Raises:
        OptionError: a text is no direction.
    """
    boats = []
    for text in texts:
        found = BOAT.fullmatch(text)
        azimuth, elevation = (float(part or 0.0) for part in found.groups()) if found else (math.nan, math.nan)
        if not (-360 <= azimuth <= 360 and -90 <= elevation <= 90):
            raise OptionError(
                f"`boat` {text!r} is no direction; give an azimuth of -360 to 360 degrees, and if need be an "
                "elevation of -90 to 90: 40 or 40,5"
            )
        boats.append((azimuth % 360.0, elevation))
    return tuple(boats)
