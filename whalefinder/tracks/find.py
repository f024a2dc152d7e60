"""Where the animals are going: calls with bearings become tracks, one direction a second with its uncertainty.

calls → which are of one animal → the tracker's estimate between its first and its last call
"""

from __future__ import annotations

import numpy as np

from whalefinder.array.geometry import Floats, angles, direction
from whalefinder.networks.tracker import Tracker
from whalefinder.networks.weights import load_tracker
from whalefinder.results.ambiguity import Cone, Mirror
from whalefinder.results.records import Detection, Track
from whalefinder.tracks.association import animals
from whalefinder.tracks.fixes import Fixes, grid_of, merge
from whalefinder.tracks.follow import Followed, follow, look_back

SD_FLOOR_RAD = np.radians(0.2)  # animals are longer than a point, and moorings swing
MAX_SILENCE_S = 180.0  # after that a call begins a new track
LONGEST_S = 3600.0  # calls without such a silence are cut where they are quietest after this


def find_tracks(
    detections: list[Detection], *, causal: bool = False, tracker: Tracker | None = None, sea_floor: bool = False
) -> list[Track]:
    """Tracks of the calls of one recording, in order of their first call.

    Args:
        causal: use for every second only the calls before it, as at sea, with the network; else everything.
        tracker: a causal network to use instead of the shipped one.
        sea_floor: the array stands on it, and animals are above; matters to the network alone.
    """
    usable = [k for k, d in enumerate(detections) if d.is_call and _has_direction(d)]
    usable.sort(key=lambda k: detections[k].end_s)
    if not usable:
        return []
    network = (tracker or load_tracker()) if causal else None
    fixes = fixes_of([detections[k] for k in usable])
    label = separate(fixes)
    animals_of = [np.flatnonzero(label == animal) for animal in range(label.max() + 1)]
    grids = [grid_of(fixes.of(mine)) for mine in animals_of]
    shown = [(mine, fixes.of(mine), grid) for mine, grid in zip(animals_of, grids, strict=True) if len(grid)]
    if not shown:
        return []
    steps = merge([some for _, some, _ in shown], [grid for *_, grid in shown])
    followed = look_back(steps) if network is None else follow(steps, network, sea_floor=sea_floor)
    tracks: list[Track] = []
    for row, (mine, some, grid) in enumerate(shown):
        asked = steps.asked[row]
        chosen = tuple(usable[k] for k in mine)
        own = Followed(followed.u[row, asked], followed.sd_rad[row, asked])
        tracks.append(_track(row + 1, detections[chosen[0]].recording, grid, some, own, chosen))
    return tracks


def _has_direction(detection: Detection) -> bool:
    """Both angles, and no second direction that would do as well (a line's cone, a plane's mirror)."""
    bearing = detection.bearing
    if bearing is None or bearing.azimuth_deg is None or bearing.elevation_deg is None:
        return False
    return not isinstance(bearing.ambiguity, Cone | Mirror)


def fixes_of(detections: list[Detection]) -> Fixes:
    """Calls with bearings as fixes, each at the call's end, when it is known."""
    rows = [[d.azimuth_deg, d.elevation_deg, d.azimuth_sd_deg, d.elevation_sd_deg] for d in detections]
    az, el, az_sd, el_sd = np.radians(np.array(rows, float)).T
    columns = ([getattr(d, name) for d in detections] for name in ("end_s", "snr_db", "low_hz", "high_hz"))
    time, snr, low, high = (np.array(column, float) for column in columns)
    # An error of azimuth is a shorter arc the steeper the direction.
    sd = np.maximum(np.stack([az_sd * np.cos(el), el_sd], axis=-1), SD_FLOOR_RAD)
    return Fixes(time_s=time, u=direction(az, el), sd_rad=sd, snr_db=snr, low_hz=low, high_hz=high)


def separate(fixes: Fixes) -> np.ndarray:
    """Which animal each fix is of, -1 for none; long silences begin anew. `[fix]`."""
    label = np.full(len(fixes), -1)
    for begin, end in _pieces(fixes.time_s):
        found = animals(fixes.of(np.arange(begin, end)))
        label[begin:end] = np.where(found >= 0, found + label.max() + 1, -1)
    return label


def _pieces(time_s: Floats) -> list[tuple[int, int]]:
    """Runs of fixes without a long silence, none much longer than `LONGEST_S`. → [begin, end) indices."""
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
    # A call counts in the first whole second after it.
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
