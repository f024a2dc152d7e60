"""How far a detection is from the truth. Times in seconds, angles in degrees; NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np

from whalefinder.geometry import direction, great_circle_rad


class Timed(Protocol):
    """Anything that begins and ends."""

    @property
    def begin_s(self) -> float:
        """Seconds from the start of the recording."""

    @property
    def end_s(self) -> float:
        """Seconds from the start of the recording."""


T = TypeVar("T", bound=Timed)


def shared_s(one: Timed, other: Timed) -> float:
    """Seconds that two events share; negative: the gap between them."""
    return min(one.end_s, other.end_s) - max(one.begin_s, other.begin_s)


def match(truth: Timed, detections: Sequence[T]) -> T | None:
    """The detection that shares most time with a true call, or None where none shares any."""
    best = max(detections, key=lambda detection: shared_s(truth, detection), default=None)
    return best if best is not None and shared_s(truth, best) > 0 else None


def bearing_error_deg(
    true_azimuth_deg: float, true_elevation_deg: float, azimuth_deg: float, elevation_deg: float
) -> float:
    """Great-circle error in degrees.

    >>> round(bearing_error_deg(359.0, 0.0, 1.0, 0.0), 6)   # north is no seam
    2.0
    """
    true_u = direction(np.radians(true_azimuth_deg), np.radians(true_elevation_deg))
    found_u = direction(np.radians(azimuth_deg), np.radians(elevation_deg))
    return float(np.degrees(great_circle_rad(true_u, found_u)))
