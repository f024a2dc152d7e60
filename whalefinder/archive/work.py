"""The work on one unit, from files to detections. Workers run this. It writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from whalefinder.archive.job import Job
from whalefinder.archive.sources import Cache
from whalefinder.archive.store import Failure, Result
from whalefinder.archive.units import Entry, Piece, Unit
from whalefinder.errors import ArrayError, ModelError, OptionError, RecordingError
from whalefinder.health.findings import Finding
from whalefinder.health.holes import findings_of_holes
from whalefinder.health.report import row_of_finding
from whalefinder.results.records import Detection
from whalefinder.sound.holes import STEP
from whalefinder.sound.joined import ChainedRecording, Part
from whalefinder.sound.recording import Recording

SLACK_S = 0.25
"""A piece also keeps calls that begin up to this long outside a border with another piece. The merge removes
doubles."""
FATAL = (ArrayError, ModelError, OptionError)
"""Errors that would occur with every unit."""

Tick = Callable[[float], None]
cache = Cache()


def work(job: Job, unit: Unit, threads: int | None = None, tick: Tick = lambda seconds: None) -> Result | Failure:
    """Find the calls of a unit.

    Args:
        job: array and options.
        unit: the unit.
        threads: number of threads of PyTorch, or None to leave it as it is.
        tick: is called with the seconds of the unit that are done.

    Returns:
        The result, or the reason why a recording of the unit cannot be used.

    Raises:
        ArrayError, ModelError, OptionError: no unit can be worked on.
    """
    if threads is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    result, before_s = Result(), 0.0
    for number, piece in enumerate(unit.pieces):
        try:
            found, problems, health = _piece(job, piece, lambda seconds, before=before_s: tick(before + seconds))  # type: ignore[misc]
        except FATAL:
            raise
        except Exception as reason:  # any error of one recording is listed, and the others are worked on
            said = str(reason) if isinstance(reason, RecordingError) else f"{type(reason).__name__}: {reason}"
            return Failure(piece.at(piece.own[0])[0].name, said)
        result.detections += [(number, detection) for detection in found]
        result.problems += problems
        result.health += health
        before_s += piece.seconds
    return result


def _piece(job: Job, piece: Piece, tick: Tick) -> tuple[list[Detection], list[tuple[str, str]], list[dict[str, Any]]]:
    """Detections, problems (name, reason) and rows of `health.csv` of a piece.

    After a recording that is cut short, a new chain begins.
    """
    kept: list[Detection] = []
    problems: list[tuple[str, str]] = []
    health: list[dict[str, Any]] = []
    rest: Piece | None = piece
    while rest is not None:
        chain = _chained(rest, problems, health)
        lead_s = (rest.own[0] - rest.read[0]) / rest.rate_hz
        passed_s = piece.seconds - (rest.own[1] - max(rest.own[0], 0)) / rest.rate_hz
        locator = job.locator()
        monitor = locator.monitor_of(chain)
        for stretch in locator.stream(chain, monitor=monitor):
            kept += [_placed(d, rest) for d in stretch.detections if _is_own(d, rest)]
            tick(min(piece.seconds, passed_s + max(0.0, stretch.seconds_done - max(0.0, lead_s))))
        findings = monitor.findings() if monitor is not None else []
        chain.holes = [hole for hole in chain.holes if hole.what == STEP and _is_owned(hole.begin_s, rest)]
        health += [_health_row(finding, rest) for finding in (*findings, *findings_of_holes(chain))]
        rest = _after(rest, chain.read)
    return kept, problems, health


def _health_row(finding: Finding, piece: Piece) -> dict[str, Any]:
    """A finding as a row, with times from the start of the recording in which it was seen first."""
    first = piece.read[0] + finding.from_s * piece.rate_hz
    spans = list(piece.spans())
    entry, begin, _ = next((span for span in spans if span[1] <= first < span[2]), spans[-1])
    shift = (piece.read[0] - begin) / piece.rate_hz
    return row_of_finding(entry.name, replace(finding, from_s=finding.from_s + shift, to_s=finding.to_s + shift))


def _after(piece: Piece, used: int) -> Piece | None:
    """The rest of a piece after the first `used` of its entries, or None."""
    left = piece.entries[used:]
    if not left:
        return None
    passed = sum(entry.frames for entry in piece.entries[:used])
    own, last = (piece.own[0] - passed, piece.own[1] - passed), piece.read[1] - passed
    return Piece(left, own, (0, last), piece.joined)


def _chained(piece: Piece, problems: list[tuple[str, str]], health: list[dict[str, Any]]) -> ChainedRecording:
    """The piece as one recording. While it is read, problems (name, reason) and holes (rows of `health.csv`) are added."""
    parts = []
    for entry, begin, end in piece.spans():
        first, last = max(piece.read[0], begin) - begin, min(piece.read[1], end) - begin
        own = piece.own[0] - begin, piece.own[1] - begin
        parts.append(Part(partial(_opened, entry, own, problems, health), first, last, own))
    first_entry = piece.entries[0]
    return ChainedRecording(
        name=first_entry.name,
        paths=(),
        columns=first_entry.columns,
        rate_hz=piece.rate_hz,
        duration_s=(piece.read[1] - piece.read[0]) / piece.rate_hz,
        start_utc=None,
        labels=first_entry.labels,
        parts=tuple(parts),
    )


@contextmanager
def _opened(
    entry: Entry, own: tuple[int, int], problems: list[tuple[str, str]], health: list[dict[str, Any]]
) -> Iterator[Recording]:
    with cache.local(entry.files) as paths:
        recording = Recording(
            name=entry.name,
            paths=paths,
            columns=entry.columns,
            rate_hz=entry.rate_hz,
            duration_s=entry.duration_s,
            start_utc=None,
            labels=entry.labels,
            holes=list(entry.clock.holes()) if entry.clock else [],
        )
        yield recording
    problems += [(entry.name, line.removeprefix(f"{entry.name}: ")) for line in recording.problems]
    first_s, end_s = (frame / entry.rate_hz for frame in own)  # holes outside are told by the units that own them
    recording.holes = [hole for hole in recording.holes if first_s <= hole.begin_s < end_s]
    recording.wrong_s = [time_s for time_s in recording.wrong_s if first_s <= time_s < end_s]
    health += [row_of_finding(entry.name, finding) for finding in findings_of_holes(recording)]


def _begin(detection: Detection, piece: Piece) -> float:
    """Frame of the piece at which a detection of the chained recording begins."""
    return piece.read[0] + detection.begin_s * piece.rate_hz


def _is_owned(time_s: float, piece: Piece) -> bool:
    """Whether a time of the chained recording lies in the piece itself, and not in what is read around it."""
    return piece.own[0] <= piece.read[0] + time_s * piece.rate_hz < piece.own[1]


def _is_own(detection: Detection, piece: Piece) -> bool:
    slack = SLACK_S * piece.rate_hz
    first = piece.own[0] - slack if piece.joined[0] else float("-inf")
    last = piece.own[1] + slack if piece.joined[1] else float("inf")
    return first <= _begin(detection, piece) < last


def _placed(detection: Detection, piece: Piece) -> Detection:
    """The detection with the name and times of the recording in which it begins."""
    entry, begin = piece.at(_begin(detection, piece))
    shift = (piece.read[0] - begin) / piece.rate_hz
    return replace(
        detection,
        recording=entry.name,
        begin_s=max(0.0, detection.begin_s + shift),
        end_s=detection.end_s + shift,
        start_utc=None,
    )
