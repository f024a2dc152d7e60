"""Comparison of two tables of detections: ours and another program's, or two of ours with different settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from whalefinder.array.geometry import Floats, direction, great_circle_rad
from whalefinder.errors import OptionError
from whalefinder.results.ambiguity import is_one_of_two, kind_of
from whalefinder.results.formats import Row

TOLERANCE_S = 0.25  # rows match if the gap between them is not longer than this


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What two tables have in common.

    Args:
        ours, theirs: number of rows.
        ours_heard, theirs_heard: how many of them match a row of the other table in time.
        apart_deg: angles in degrees between the directions of rows that match, if both azimuths are unambiguous. It is
            the great-circle angle if both have an elevation, else the difference in azimuth.
    """

    ours: int
    theirs: int
    ours_heard: int
    theirs_heard: int
    apart_deg: Floats


def compare(ours: Sequence[Row], theirs: Sequence[Row], tolerance_s: float = TOLERANCE_S) -> Comparison:
    """Match rows of two tables that overlap in time, or that are at most `tolerance_s` apart.

    Times are compared by `start_utc` if all rows have it. Otherwise they are compared by seconds within recordings of
    the same name.

    Raises:
        OptionError: neither is possible.
    """
    dated = all(row["start_utc"] for row in [*ours, *theirs])
    shared = {row["recording"] for row in ours} & {row["recording"] for row in theirs}
    if ours and theirs and not dated and not shared:
        raise OptionError("the tables cannot be compared in time; both need start_utc, or the same names of recordings")
    heard = np.zeros(len(theirs), bool)
    ours_heard, apart = 0, []
    groups = [None] if dated else sorted(shared)
    for group in groups:
        mine = [row for row in ours if group is None or row["recording"] == group]
        index = np.array([k for k, row in enumerate(theirs) if group is None or row["recording"] == group], int)
        spans = np.array([_span(theirs[k], dated) for k in index]).reshape(-1, 2)
        order = np.argsort(spans[:, 0], kind="stable")
        index, spans = index[order], spans[order]
        longest = float((spans[:, 1] - spans[:, 0]).max(initial=0.0))
        for row in mine:
            begin, end = _span(row, dated)
            low = np.searchsorted(spans[:, 0], begin - tolerance_s - longest)
            high = np.searchsorted(spans[:, 0], end + tolerance_s, side="right")
            near = np.arange(low, high)[spans[low:high, 1] >= begin - tolerance_s]
            heard[index[near]] = True
            ours_heard += bool(len(near))
            if len(near):
                nearest = near[np.abs(spans[near].mean(axis=1) - (begin + end) / 2).argmin()]
                apart.append(_apart_deg(row, theirs[index[nearest]]))
    known = np.array([angle for angle in apart if angle is not None], float)
    return Comparison(
        ours=len(ours), theirs=len(theirs), ours_heard=ours_heard, theirs_heard=int(heard.sum()), apart_deg=known
    )


def _span(row: Row, dated: bool) -> tuple[float, float]:
    begin = datetime.fromisoformat(row["start_utc"]).timestamp() if dated else row["begin_s"]
    return begin, begin + row["end_s"] - row["begin_s"]


def _apart_deg(a: Row, b: Row) -> float | None:
    if any(row["azimuth_deg"] is None or is_one_of_two(kind_of(row["ambiguity"])) for row in (a, b)):
        return None
    level = a["elevation_deg"] is None or b["elevation_deg"] is None
    u, v = (
        direction(np.radians(row["azimuth_deg"]), 0.0 if level else np.radians(row["elevation_deg"])) for row in (a, b)
    )
    return float(np.degrees(great_circle_rad(u, v)))
