"""The parts of an archive: files, recordings, and the units of work into which they are cut."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from whalefinder.sound.clock import Clock


@dataclass(frozen=True)
class File:
    """A file as it was found. `stamp` is its modification time, or the version that a server gives (an ETag)."""

    url: str
    name: str
    size: int
    stamp: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One recording: one file, or one mono file per channel, with the facts from its header and its name.

    Args:
        name: path below the folder that was searched; unique in the plan.
        files: its files.
        rate_hz: sample rate.
        frames: samples per channel.
        columns, labels: as in `recording.Recording`.
        start_utc: start, read from the name or the header, or None.
        jumps, rate: as in `clock.Clock`.
        step_s: the last digit of `start_utc` in seconds.
        number: milliseconds in the name that can also be the number of the file, or None.
        recorder: its name without the time.
        kin: the same without parts that may change from file to file of one recorder.
        marks: hash of the first bytes of each file. It distinguishes files of the same name and length.
        problems, warnings: one line each, known from the header and the name.
    """

    name: str
    files: tuple[File, ...]
    rate_hz: int
    frames: int
    columns: tuple[int, ...]
    labels: tuple[int, ...]
    start_utc: datetime | None
    recorder: str
    kin: str
    marks: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    jumps: tuple[tuple[float, float], ...] = ()
    rate: float = 1.0
    step_s: float = 1.0
    number: int | None = None

    @property
    def clock(self) -> Clock | None:
        """From seconds of the recording to times of day; None if the start is unknown."""
        return None if self.start_utc is None else Clock(self.start_utc, self.jumps, self.rate)

    @property
    def duration_s(self) -> float:
        """Length in seconds, by the sample rate."""
        return self.frames / self.rate_hz

    @property
    def end_utc(self) -> datetime | None:
        """The end, when the last stretch of sound ends; None if the start is unknown."""
        return None if self.clock is None else self.clock.utc(self.duration_s)


@dataclass(frozen=True)
class Piece:
    """A stretch of sound without gaps. Frames are samples per channel, from the begin of `entries[0]`.

    Args:
        entries: the recordings, in order, of which `read` uses a part.
        own: frames [begin, end); calls that begin here belong to the piece.
        read: frames [begin, end) that are needed to find these calls.
        joined: whether there is a piece directly before, and one directly after.
    """

    entries: tuple[Entry, ...]
    own: tuple[int, int]
    read: tuple[int, int]
    joined: tuple[bool, bool]

    @property
    def rate_hz(self) -> int:
        """Sample rate of all entries."""
        return self.entries[0].rate_hz

    @property
    def seconds(self) -> float:
        """Length of `own` in seconds."""
        return (self.own[1] - self.own[0]) / self.rate_hz

    def spans(self) -> Iterator[tuple[Entry, int, int]]:
        """Each entry with its frames [begin, end) in the piece."""
        begin = 0
        for entry in self.entries:
            yield entry, begin, begin + entry.frames
            begin += entry.frames

    def at(self, frame: float) -> tuple[Entry, int]:
        """The entry at a frame, and the frame at which this entry begins."""
        found = next(self.spans())
        for span in self.spans():
            if span[1] <= frame:
                found = span
        return found[0], found[1]

    def border(self, side: int) -> str:
        """A name for the begin (0) or the end (1) of `own`. The piece on the other side has the same name for it."""
        entry, begin = self.at(self.own[side])
        return f"{entry.name}@{self.own[side] - begin}"


@dataclass(frozen=True)
class Unit:
    """A unit of work: the pieces of one recorder that begin in one hour (UTC). Its result is stored as a whole."""

    id: str
    pieces: tuple[Piece, ...]

    @property
    def seconds(self) -> float:
        """Length of its sound in seconds."""
        return sum(piece.seconds for piece in self.pieces)

    @property
    def start_utc(self) -> datetime | None:
        """Time at which its own sound begins, or None if unknown."""
        piece = self.pieces[0]
        entry, begin = piece.at(piece.own[0])
        return None if entry.clock is None else entry.clock.utc((piece.own[0] - begin) / piece.rate_hz)

    @property
    def recording(self) -> str:
        """Name of the recording in which its own sound begins. The sound that is read before is only a margin."""
        piece = self.pieces[0]
        return piece.at(piece.own[0])[0].name

    @property
    def name(self) -> str:
        """A name to show: the time at which it begins, and its id."""
        start = self.start_utc
        return f"{start:%Y%m%dT%H%M%SZ}-{self.id}" if start else f"undated-{self.id}"


def make_unit(pieces: list[Piece], job_key: str) -> Unit:
    """A unit whose id is a hash of everything on which its result depends: files, places in them, and the job."""
    facts = [[_facts(piece) for piece in pieces], job_key]
    return Unit(digest(facts), tuple(pieces))


def _facts(piece: Piece) -> list[Any]:
    # Without paths and names. So an archive that was moved or renamed keeps its results.
    entries = [
        [[(f.size, f.stamp) for f in e.files], e.marks, e.rate_hz, e.frames, e.columns, e.labels] for e in piece.entries
    ]
    return [entries, piece.own, piece.read, piece.joined]


def digest(facts: Any) -> str:
    """A hash of 16 hexadecimal digits, of anything that can be written as JSON."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
