"""Tracks of animals: calls with bearings become one direction per second for each animal, with its uncertainty.

calls → which calls belong to one animal → estimate of its direction between its first and its last call
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from whalefinder.array.geometry import Floats, angles, direction
from whalefinder.networks.tracker import Tracker
from whalefinder.networks.weights import load_tracker
from whalefinder.results.ambiguity import Cone, Mirror
from whalefinder.results.records import Detection, Track
from whalefinder.tracks.association import animals
from whalefinder.tracks.fixes import Fixes, grid_of, merge
from whalefinder.tracks.follow import Followed, follow, look_back
from whalefinder.tracks.live import animals_so_far

SD_FLOOR_RAD = np.radians(0.2)  # smallest error of a fix, since animals are not points and moored arrays move
MAX_SILENCE_S = 180.0  # after a longer silence, a call begins a new track
LONGEST_S = 3600.0  # a longer run of calls is cut at its longest silence near this time


class _Shown(NamedTuple):
    """One animal: indices of its fixes in all fixes, and the times of its track."""

    mine: np.ndarray
    grid: Floats


def find_tracks(
    detections: list[Detection],
    *,
    causal: bool = False,
    tracker: Tracker | None = None,
    sea_floor: bool = False,
    until_s: float = math.inf,
) -> list[Track]:
    """Find the tracks of animals in the calls of one recording.

    Args:
        detections: of one recording, in any order. Only calls with an unambiguous direction are used.
        causal: True uses the network, and for every second only the calls before it, as in a live run. False uses all
            calls, before and after.
        tracker: a causal network to use instead of the shipped one.
        sea_floor: the array stands on the sea floor, with animals above it. This matters only to the network.
        until_s: what was heard ends here. A causal track goes on after a call for `MAX_SILENCE_S`, but not longer than
            this, or than the last call of all.

    Returns:
        Tracks in order of their first call; causal ones in the order in which they became known.

    Raises:
        ModelError: the shipped tracker cannot be read (`causal` only).
    """
    usable = [k for k, d in enumerate(detections) if d.is_call and _has_direction(d)]
    usable.sort(key=lambda k: detections[k].end_s)
    if not usable:
        return []
    network = (tracker or load_tracker()) if causal else None
    fixes = fixes_of([detections[k] for k in usable])
    shown = _as_heard(fixes, until_s) if causal else _looking_back(fixes)
    shown = [each for each in shown if len(each.grid)]
    if not shown:
        return []
    steps = merge([fixes.of(mine) for mine, _ in shown], [grid for _, grid in shown])
    followed = look_back(steps) if network is None else follow(steps, network, sea_floor=sea_floor)
    tracks: list[Track] = []
    for row, (mine, grid) in enumerate(shown):
        asked = steps.asked[row]
        chosen = tuple(usable[k] for k in mine)
        own = Followed(followed.u[row, asked], followed.sd_rad[row, asked])
        heard = mine[fixes.time_s[mine] <= grid[-1]] if causal else mine
        track = _track(row + 1, detections[chosen[0]].recording, grid, fixes.of(heard), own, chosen)
        tracks.append(replace(track, tracker="causal") if causal else track)
    return tracks


def _looking_back(fixes: Fixes) -> list[_Shown]:
    label = separate(fixes)
    mine = [np.flatnonzero(label == animal) for animal in range(label.max() + 1)]
    return [_Shown(each, grid_of(fixes.of(each))) for each in mine]


def _as_heard(fixes: Fixes, until_s: float) -> list[_Shown]:
    """The animals as a live run knows them: from the call that makes them known, until they have long been silent."""
    shown = []
    end_s = until_s if math.isfinite(until_s) else float(fixes.time_s[-1])
    for animal in animals_so_far(fixes, MAX_SILENCE_S):
        last_s = min(float(fixes.time_s[animal.fixes[-1]]) + MAX_SILENCE_S, end_s)
        shown.append(_Shown(animal.fixes, np.arange(math.ceil(animal.since_s), math.floor(last_s) + 1.0)))
    return shown


def _has_direction(detection: Detection) -> bool:
    """Whether both angles are known and no other direction is as likely (the cone of a line, the mirror of a plane)."""
    bearing = detection.bearing
    if bearing is None or bearing.azimuth_deg is None or bearing.elevation_deg is None:
        return False
    return not isinstance(bearing.ambiguity, Cone | Mirror)


def fixes_of(detections: list[Detection]) -> Fixes:
    """Calls with bearings as fixes. The time of a fix is the end of its call, since only then is it known."""
    rows = [[d.azimuth_deg, d.elevation_deg, d.azimuth_sd_deg, d.elevation_sd_deg] for d in detections]
    az, el, az_sd, el_sd = np.radians(np.array(rows, float)).T
    columns = ([getattr(d, name) for d in detections] for name in ("end_s", "snr_db", "low_hz", "high_hz"))
    time, snr, low, high = (np.array(column, float) for column in columns)
    # The steeper the direction, the shorter the arc that belongs to an error of azimuth.
    sd = np.maximum(np.stack([az_sd * np.cos(el), el_sd], axis=-1), SD_FLOOR_RAD)
    return Fixes(time_s=time, u=direction(az, el), sd_rad=sd, snr_db=snr, low_hz=low, high_hz=high)


def separate(fixes: Fixes) -> np.ndarray:
    """Number of the animal for each fix, `[fix]`; -1 for none. After a long silence new animals begin."""
    label = np.full(len(fixes), -1)
    for begin, end in _pieces(fixes.time_s):
        found = animals(fixes.of(np.arange(begin, end)))
        label[begin:end] = np.where(found >= 0, found + label.max() + 1, -1)
    return label


def _pieces(time_s: Floats) -> list[tuple[int, int]]:
    """Runs of fixes without a long silence, none much longer than `LONGEST_S`. → indices [begin, end) of each."""
    pieces, begin = [], 0
    silence = np.diff(time_s, append=np.inf)
    for end in range(1, len(time_s) + 1):
        if silence[end - 1] > MAX_SILENCE_S:
            pieces.append((begin, end))
            begin = end
        elif time_s[end - 1] - time_s[begin] > LONGEST_S:
            late = np.arange(begin, end)[time_s[begin:end] > time_s[begin] + 0.8 * LONGEST_S]
            cut = int(late[silence[late].argmax()]) + 1
            pieces.append((begin, cut))
            begin = cut
    return pieces


def _track(
    number: int, recording: str, grid: Floats, fixes: Fixes, followed: Followed, chosen: tuple[int, ...]
) -> Track:
    azimuth, elevation = angles(followed.u)
    sd = np.degrees(followed.sd_rad)
    # A call is counted in the first whole second after its end; one that ended after the last second, in that one.
    counts = np.bincount(np.searchsorted(grid, fixes.time_s).clip(max=len(grid) - 1), minlength=len(grid))
    return Track(
        number=number,
        recording=recording,
        time_s=grid,
        azimuth_deg=np.degrees(azimuth),
        elevation_deg=np.degrees(elevation),
        azimuth_sd_deg=np.minimum(180.0, sd[:, 0] / np.maximum(np.cos(elevation), 1e-3)),
        elevation_sd_deg=np.minimum(90.0, sd[:, 1]),
        calls=counts,
        fixes=chosen,
    )
