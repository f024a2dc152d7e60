"""Ambiguity of a bearing: other directions from which a call sounds the same, or nearly the same, to the array.

In the program an ambiguity is an object of one of three types. In tables it is text: `words` writes this text, and
`kind_of` reads the kind of ambiguity from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never


class Kind(StrEnum):
    """The first word of an ambiguity in a table."""

    CONE = "cone"
    PLANE = "plane"
    LOBE = "lobe"


@dataclass(frozen=True, kw_only=True)
class Cone:
    """Ambiguity of a line of hydrophones. It measures only the angle from its axis: all directions of a cone fit.

    Args:
        angle_deg: angle between the call and the axis.
        axis_azimuth_deg, axis_elevation_deg: direction of the axis.
        azimuths_deg: azimuths of the cone at elevation 0: two, or none. None for a steep line, which gives no azimuth.
    """

    angle_deg: float
    axis_azimuth_deg: float
    axis_elevation_deg: float
    azimuths_deg: tuple[float, float] | tuple[()] | None


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """Ambiguity of hydrophones in one plane: the call may be on either side of it. This is the other direction."""

    azimuth_deg: float
    elevation_deg: float


@dataclass(frozen=True, kw_only=True)
class Lobe:
    """Ambiguity by other directions that are likely too.

    Args:
        margin: by so much is the log likelihood of the next one lower; None if it was not compared.
        others: azimuth and elevation in degrees of each, and its probability, the most likely first.
    """

    margin: float | None = None
    others: tuple[tuple[float, float, float], ...] = ()

    def __post_init__(self) -> None:
        # What an archive has stored comes back as lists.
        object.__setattr__(self, "others", tuple((a, e, p) for a, e, p in self.others))


Ambiguity = Cone | Mirror | Lobe


def words(ambiguity: Ambiguity | None) -> str:
    """The text of the column `ambiguity`. It is empty if the direction is unique."""
    match ambiguity:
        case None:
            return ""
        case Cone():
            axis = f"axis azimuth {ambiguity.axis_azimuth_deg:.1f} elevation {ambiguity.axis_elevation_deg:.1f}"
            return f"{Kind.CONE}: {ambiguity.angle_deg:.1f} deg from {axis}{_at_elevation_0(ambiguity.azimuths_deg)}"
        case Mirror():
            return f"{Kind.PLANE}: or azimuth {ambiguity.azimuth_deg:.1f} elevation {ambiguity.elevation_deg:.1f}"
        case Lobe():
            if ambiguity.others:
                each = (f"azimuth {a:.1f} elevation {e:.1f} ({100 * p:.0f} %)" for a, e, p in ambiguity.others)
                return f"{Kind.LOBE}: or {', or '.join(each)}"
            less = f"log likelihood {ambiguity.margin or 0.0:.1f} less"
            return f"{Kind.LOBE}: another direction is nearly as likely ({less})"
    assert_never(ambiguity)


def _at_elevation_0(azimuths_deg: tuple[float, ...] | None) -> str:
    if azimuths_deg is None:
        return ""
    if not azimuths_deg:
        return "; none at elevation 0"
    return f"; azimuth {azimuths_deg[0]:.1f} or {azimuths_deg[1]:.1f} at elevation 0"


def kind_of(text: str | None) -> Kind | None:
    """The kind of ambiguity by the text in a table. None if there is none, or if the text is from another program."""
    first = (text or "").partition(":")[0]
    return Kind(first) if first in set(Kind) else None


def is_one_of_two(kind: Kind | None) -> bool:
    """Whether another direction fits exactly as well. Then the reported one is only a guess between the two."""
    return kind in (Kind.CONE, Kind.PLANE)
