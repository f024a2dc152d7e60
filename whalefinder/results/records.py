"""The records of results: a detection, its bearing, and the track of an animal."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from whalefinder.array.geometry import Floats
from whalefinder.results.ambiguity import Ambiguity

LABELS = ("orca", "other_cetacean", "boat", "ambient")
"""The classes, in the order of the classifier's outputs. `boat` and `ambient` are not calls."""
ORCA, OTHER_CETACEAN, BOAT, AMBIENT = range(len(LABELS))
WHALES = (ORCA, OTHER_CETACEAN)
CETACEAN = "cetacean"
"""The label of an event that is surely a whale or dolphin, while it is unclear which."""
WHALE_LABELS = (*(LABELS[index] for index in WHALES), CETACEAN)
EVENT_LABELS = (*WHALE_LABELS, LABELS[BOAT], LABELS[AMBIENT])
"""All labels that an event can get."""
SHOWN_DIGITS = 4
"""Number of decimals of a probability in tables."""


def classes_of(label: str) -> tuple[int, ...]:
    """The classes, as indices of `LABELS`, that a label joins. The probability of the label is the sum of theirs.

    >>> classes_of("boat"), classes_of("cetacean")
    ((2,), (0, 1))
    """
    return WHALES if label == CETACEAN else (LABELS.index(label),)


@dataclass(frozen=True, kw_only=True)
class Bearing:
    """A direction, in the convention for results (docs/conventions.md).

    Args:
        azimuth_deg: clockwise from true north, 0 to 360. For a line of hydrophones: the smaller of the two azimuths
            that are possible at elevation 0. None if the line is steep or no azimuth fits.
        elevation_deg: upwards from the horizontal, -90 to 90. None for a line that is not steep.
        azimuth_sd_deg, elevation_sd_deg: their standard deviations, or None.
        ambiguity: the other directions that are possible; None if the direction is unique.
        range_m, range_sd_m: distance to the source and its standard deviation; None if unknown.
        fit: probability that an array in order agrees no better on one direction; None if unknown.
        correlation: of the errors of azimuth and elevation, -1 to 1: the third number of their covariance. None if unknown.
        error_50_deg, error_90_deg: the true direction lies within this angle in 50 and in 90 % of all cases, or None.
        remark: why there are no angles, or which hydrophones were not used, as text; may be empty.
    """

    azimuth_deg: float | None
    elevation_deg: float | None
    azimuth_sd_deg: float | None
    elevation_sd_deg: float | None
    ambiguity: Ambiguity | None = None
    range_m: float | None = None
    range_sd_m: float | None = None
    fit: float | None = None
    correlation: float | None = None
    error_50_deg: float | None = None
    error_90_deg: float | None = None
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """One event that was found in a recording.

    Args:
        recording: name of the recording.
        begin_s, end_s: seconds from the start of the recording.
        start_utc: begin as a time of day, or None if unknown.
        low_hz, high_hz: its band.
        label: one of `EVENT_LABELS`.
        probability: probability of the label, 0 to 1.
        snr_db: power of the call relative to all other sound, dB.
        bearing: its direction, or None.
        channel: the channel in which it was found, from 0; only without an array.
        evidence: figures from which the score was computed (`calls.scores`).
        level_db: received level in dB re 1 µPa, r.m.s. over the call in its band; None if the array is not calibrated.
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
        """Whether the label is that of a whale."""
        return self.label in WHALE_LABELS

    @property
    def azimuth_deg(self) -> float | None:
        """Azimuth clockwise from true north, [0, 360), or None."""
        return self.bearing.azimuth_deg if self.bearing else None

    @property
    def elevation_deg(self) -> float | None:
        """Elevation, positive up, or None."""
        return self.bearing.elevation_deg if self.bearing else None

    @property
    def azimuth_sd_deg(self) -> float | None:
        """Standard deviation of the azimuth, or None."""
        return self.bearing.azimuth_sd_deg if self.bearing else None

    @property
    def elevation_sd_deg(self) -> float | None:
        """Standard deviation of the elevation, or None."""
        return self.bearing.elevation_sd_deg if self.bearing else None


@dataclass(frozen=True, kw_only=True)
class Track:
    """The directions of one animal over time, as the array hears it.

    Args:
        number: number of the track, from 1.
        recording: name of the recording.
        time_s: seconds from the start of the recording, `[time]`.
        azimuth_deg, elevation_deg: direction, `[time]`.
        azimuth_sd_deg, elevation_sd_deg: standard deviations, `[time]`.
        calls: how many calls of the animal ended in the second before, `[time]`.
        fixes: indices of its calls in the detections from which the track was made.
        tracker: what made it: `smoother`, which also uses later calls, or `causal`, the LSTM, which does not.
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
    tracker: str = "smoother"
