"""What is found, as records: a detection, its bearing, and the track of an animal."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from whalefinder.array.geometry import Floats
from whalefinder.results.ambiguity import Ambiguity

LABELS = ("orca", "other_cetacean", "boat", "ambient")
"""What an event can be called, in the order of the classifier's outputs; `boat` and `ambient`: no whale is heard."""
ORCA, OTHER_CETACEAN, BOAT, AMBIENT = range(len(LABELS))
WHALES = (ORCA, OTHER_CETACEAN)
WHALE_LABELS = tuple(LABELS[index] for index in WHALES)
SHOWN_DIGITS = 4
"""Decimals of a probability in tables."""


@dataclass(frozen=True, kw_only=True)
class Bearing:
    """A direction in the outside convention, degrees. `ambiguity`: what else it could be; None where it is unique."""

    azimuth_deg: float | None
    elevation_deg: float | None
    azimuth_sd_deg: float | None
    elevation_sd_deg: float | None
    ambiguity: Ambiguity | None = None
    range_m: float | None = None


@dataclass(frozen=True, kw_only=True)
class Detection:
    """One event: times in seconds from the start of the recording, band in Hz, SNR in dB against all other sound.

    `label`: one of `LABELS`, `probability`: how sure that is.
    `level_db`: received level in dB re 1 µPa, r.m.s. over the call in its band, where the array is calibrated.
    """

    recording: str
    begin_s: float
    end_s: float
    start_utc: datetime | None
    low_hz: float
    high_hz: float
    label: str
    probability: float
    snr_db: float
    bearing: Bearing | None = None
    channel: int | None = None
    evidence: dict[str, float] = field(default_factory=dict, compare=False)
    level_db: float | None = None

    @property
    def is_call(self) -> bool:
        """Whether the label is a whale's."""
        return self.label in WHALE_LABELS

    @property
    def azimuth_deg(self) -> float | None:
        """Clockwise from true north, [0, 360)."""
        return self.bearing.azimuth_deg if self.bearing else None

    @property
    def elevation_deg(self) -> float | None:
        """Positive up."""
        return self.bearing.elevation_deg if self.bearing else None

    @property
    def azimuth_sd_deg(self) -> float | None:
        """One standard deviation of the azimuth."""
        return self.bearing.azimuth_sd_deg if self.bearing else None

    @property
    def elevation_sd_deg(self) -> float | None:
        """One standard deviation of the elevation."""
        return self.bearing.elevation_sd_deg if self.bearing else None


@dataclass(frozen=True, kw_only=True)
class Track:
    """One animal's way across the sky of the array; every array `[time]`, angles in degrees, seconds from the recording's start.

    `calls`: how many calls of the animal ended in the second before. `fixes`: their indices among the detections given.
    """

    number: int
    recording: str
    time_s: Floats
    azimuth_deg: Floats
    elevation_deg: Floats
    azimuth_sd_deg: Floats
    elevation_sd_deg: Floats
    calls: np.ndarray
    fixes: tuple[int, ...]
