"""From the results of units to tables in order of time. The order in which units were worked on does not matter."""

from __future__ import annotations

import csv
import heapq
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from whalefinder.archive.plan import Plan, recorders
from whalefinder.archive.planfile import load_plan
from whalefinder.archive.store import Result, Store, atomic
from whalefinder.archive.units import Entry, Piece, Unit
from whalefinder.archive.work import SLACK_S
from whalefinder.results.records import Detection, Track
from whalefinder.results.tables import (
    COLUMNS,
    EXTRA_COLUMNS,
    HEALTH_COLUMNS,
    RECORDING_COLUMNS,
    TRACK_COLUMNS,
    row_of,
    rows_of,
    utc_text,
)
from whalefinder.tracks.find import LONGEST_S, MAX_SILENCE_S, find_tracks
from whalefinder.words import printable

ARCHIVE_TRACK_COLUMNS = (*TRACK_COLUMNS, "time_utc")
"""`time_s` counts from the begin of `recording`, in which the track begins. It can be later than the end of it."""
LONGEST_BOUT_S = 6 * LONGEST_S
"""Calls without a long silence are followed together for at most this time, since memory is limited."""
Call = tuple[float, float | None]
"""End of a call in seconds after a border, and its azimuth."""
SAME_DEG = 12.0
"""Calls at a border that are less apart than this are one, since callers nearer than this are not told apart."""
BACKWARDS_S = 2.0
"""Detections of a unit may be earlier than its start by at most this: joined recordings may overlap by up to a second,
and a call may begin a little before the unit."""


def detections_of(plan: Plan, store: Store) -> Iterator[Detection]:
    """All detections in order of time, those without a time last. Only an hour or two of them is in memory."""
    clocks = {entry.name: entry.clock for entry in plan.entries}
    waiting: list[tuple[Any, Detection]] = []
    borders: dict[str, list[Call]] = {}
    for count, unit in enumerate(plan.units):
        if unit.start_utc is not None:
            limit = unit.start_utc.timestamp() - BACKWARDS_S
            while waiting and waiting[0][0][0] < limit:
                yield heapq.heappop(waiting)[1]
        result = store.load(unit)
        if result is None:
            continue
        for place, detection in enumerate(_once(unit, result, borders)):
            clock = clocks[detection.recording]
            utc = None if clock is None else clock.begin_utc(detection.begin_s, detection.end_s)
            detection = replace(detection, start_utc=utc)
            key = (utc.timestamp() if utc else math.inf, detection.recording, detection.begin_s, count, place)
            heapq.heappush(waiting, (key, detection))
    while waiting:
        yield heapq.heappop(waiting)[1]


def _once(unit: Unit, result: Result, borders: dict[str, list[Call]]) -> Iterator[Detection]:
    """The detections of a unit without those that the piece before has found too.

    `borders` holds for each border the calls near it: end, in seconds after the border, and azimuth.
    """
    for number, piece in enumerate(unit.pieces):
        begins = {entry.name: begin for entry, begin, _ in piece.spans()}
        ends = borders.pop(piece.border(0), []) if piece.joined[0] else []
        over: list[Call] = []
        for detection in (d for place, d in result.detections if place == number):
            after_s, before_s = (_after(detection, piece, begins, side) for side in (0, 1))
            # The piece before keeps calls that begin up to SLACK_S after the border. Here such a call may begin later.
            # Another animal may call there too, from another direction.
            known = any(after_s < end_s and _near(azimuth, detection.azimuth_deg) for end_s, azimuth in ends)
            if after_s < 2 * SLACK_S and known:
                continue
            over.append((before_s + detection.end_s - detection.begin_s, detection.azimuth_deg))
            yield detection
        if piece.joined[1]:
            borders[piece.border(1)] = [call for call in over if call[0] > -SLACK_S]


def _near(a_deg: float | None, b_deg: float | None) -> bool:
    """Whether two azimuths can be those of one animal. An unknown one can be any."""
    if a_deg is None or b_deg is None:
        return True
    return abs((a_deg - b_deg + 180) % 360 - 180) < SAME_DEG


def _after(detection: Detection, piece: Piece, begins: dict[str, int], side: int) -> float:
    """Seconds from the begin (0) or end (1) of a piece's own sound to the begin of a detection."""
    return detection.begin_s + (begins[detection.recording] - piece.own[side]) / piece.rate_hz


def tracks_of(plan: Plan, detections: Iterable[Detection]) -> Iterator[tuple[Track, datetime | None]]:
    """Tracks of each recorder in order of time. They continue over the ends of recordings.

    Times are seconds from the start of the recording in which the track begins. With each track comes the time of day
    of its second 0, or None: where the recording has a gap before the track, that is not the recording's start.
    """
    if not plan.with_array:
        return
    groups = {entry.name: number for number, group in enumerate(recorders(plan.entries)) for entry in group}
    starts = {entry.name: entry.start_utc for entry in plan.entries}
    found: list[tuple[Any, Track, datetime | None]] = []
    bouts: dict[int, list[Detection]] = {}
    for detection in detections:
        bout = bouts.setdefault(groups[detection.recording], [])
        silent = bout and _seconds_between(bout[-1], detection) > MAX_SILENCE_S + 60.0
        if silent or (bout and _seconds_between(bout[0], detection) > LONGEST_BOUT_S):
            found += _tracks(bout, starts)
            bout.clear()
        bout.append(detection)
    for bout in bouts.values():
        found += _tracks(bout, starts)
    for number, (_, track, zero) in enumerate(sorted(found, key=lambda each: each[0]), start=1):
        yield replace(track, number=number), zero


def _seconds_between(before: Detection, after: Detection) -> float:
    if before.start_utc is None or after.start_utc is None:
        return 0.0 if before.recording == after.recording else math.inf
    return (after.start_utc - before.start_utc).total_seconds()


def _tracks(bout: list[Detection], starts: dict[str, datetime | None]) -> list[tuple[Any, Track, datetime | None]]:
    """Tracks of calls without a long silence, each with a key to sort by and the time of day of its second 0.

    The key is time, recording and begin of its first call.
    """
    first = bout[0]
    zero = starts[first.recording]
    timed = [_on_axis(detection, zero) for detection in bout]
    tracks = []
    for place, track in enumerate(find_tracks(timed)):
        begin = bout[track.fixes[0]]
        shift = timed[track.fixes[0]].begin_s - begin.begin_s
        track = replace(track, recording=begin.recording, time_s=track.time_s - shift)
        key = (math.inf if begin.start_utc is None else begin.start_utc.timestamp(), begin.recording, begin.begin_s)
        day = None if begin.start_utc is None else begin.start_utc - timedelta(seconds=begin.begin_s)
        tracks.append(((*key, place), track, day))
    return tracks


def _on_axis(detection: Detection, zero: datetime | None) -> Detection:
    """The detection with times counted from `zero`."""
    if zero is None or detection.start_utc is None:
        return detection
    begin_s = (detection.start_utc - zero).total_seconds()
    return replace(detection, begin_s=begin_s, end_s=begin_s + detection.end_s - detection.begin_s)


def write_tables(plan: Plan, store: Store, problems: list[tuple[str, str]]) -> tuple[int, int]:
    """Write detections, tracks, recordings and problems as CSV, each as a whole. → numbers of calls and of tracks.

    Raises:
        OutputError: a file cannot be written.
    """
    calls = tracks = 0
    with _table(store, "detections", (*COLUMNS, *EXTRA_COLUMNS)) as rows:
        for detection in detections_of(plan, store):
            calls += detection.is_call
            rows.writerow(row_of(detection))
    if plan.with_array:
        with _table(store, "tracks", ARCHIVE_TRACK_COLUMNS) as rows:
            for track, zero in tracks_of(plan, detections_of(plan, store)):
                tracks += 1
                for row in rows_of(track):
                    time = None if zero is None else zero + timedelta(seconds=row["time_s"])
                    rows.writerow({**row, "time_utc": utc_text(time)})
    else:
        (store.out / "tracks.csv").unlink(missing_ok=True)  # left by a run with an array
    with _table(store, "health", HEALTH_COLUMNS) as rows:
        rows.writerows(health_of(plan, store))
    with _table(store, "recordings", RECORDING_COLUMNS) as rows:
        rows.writerows(map(row_of_entry, plan.entries))
    if plan.left_out:
        with _table(store, "left_out", ("recording", "reason")) as rows:
            rows.writerows({"recording": name, "reason": reason} for name, reason in plan.left_out)
    else:
        (store.out / "left_out.csv").unlink(missing_ok=True)
    with _table(store, "problems", ("recording", "problem")) as rows:
        rows.writerows({"recording": name, "problem": reason} for name, reason in problems)
    return calls, tracks


def health_of(plan: Plan, store: Store) -> Iterator[dict[str, Any]]:
    """Rows of `health.csv`, in the order of the units."""
    for unit in plan.units:
        result = store.load(unit)
        if result is not None:
            yield from result.health


@contextmanager
def _table(store: Store, name: str, columns: tuple[str, ...]) -> Iterator[csv.DictWriter[str]]:
    with atomic(store.out / f"{name}.csv") as file:
        rows = csv.DictWriter(file, columns)
        rows.writeheader()
        yield rows


def row_of_entry(entry: Entry) -> dict[str, Any]:
    """One recording as a row of `recordings.csv`, as `tables.row_of_recording`."""
    return {
        "recording": entry.name,
        "path": printable(entry.files[0].url),
        "start_utc": utc_text(entry.start_utc),
        "duration_s": round(entry.duration_s, 6),
        "rate_hz": float(entry.rate_hz),
        "channels": len(entry.columns),
        "heard_from_s": 0.0,
        "heard_to_s": round(entry.duration_s, 6),
    }


def merged(out: Path) -> Iterator[Detection]:
    """The detections of an archive in order of time, also if it is not finished.

    Raises:
        OutputError: the folder holds no plan.
    """
    return detections_of(load_plan(out), Store(out))
