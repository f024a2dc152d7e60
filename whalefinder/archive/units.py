"""What an archive is made of: files, recordings, and the units of work they are cut into."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True)
class File:
    """A file as it was found; `stamp` is its modification time, or what a server says instead (an ETag)."""

    url: str
    name: str
    size: int
    stamp: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One recording: a file, or a mono file per channel, with what its header and its name say.

    Args:
        name: path below the folder that was searched; unique in the plan.
        frames: per channel, at `rate_hz`.
        columns, labels: as in `audio.Recording`.
        recorder, kin: its name without the time, and also without what may change from file to file of one recorder.
        marks: hash of the first bytes of each file, which tells recorders apart that name and cut their files alike.
        problems: what the header already shows to be wrong.
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

    @property
    def duration_s(self) -> float:
        """Seconds by the recorder's own clock."""
        return self.frames / self.rate_hz

    @property
    def end_utc(self) -> datetime | None:
        """The end by the recorder's own clock."""
        return None if self.start_utc is None else self.start_utc + timedelta(seconds=self.duration_s)


@dataclass(frozen=True)
class Piece:
    """A stretch without gaps. Frames count from the begin of `entries[0]`.

    Args:
        entries: recordings that follow each other, all that `read` touches.
        own: calls that begin in these frames [begin, end) belong to the piece.
        read: the frames [begin, end) that are needed to judge them.
        joined: whether another piece (before, after) goes on where `own` ends.
    """

    entries: tuple[Entry, ...]
    own: tuple[int, int]
    read: tuple[int, int]
    joined: tuple[bool, bool]

    @property
    def rate_hz(self) -> int:
        """Of all entries."""
        return self.entries[0].rate_hz

    @property
    def seconds(self) -> float:
        """Of sound that are the piece's own."""
        return (self.own[1] - self.own[0]) / self.rate_hz

    def spans(self) -> Iterator[tuple[Entry, int, int]]:
        """Each entry with its frames [begin, end) in the piece."""
        begin = 0
        for entry in self.entries:
            yield entry, begin, begin + entry.frames
            begin += entry.frames

    def at(self, frame: float) -> tuple[Entry, int]:
        """The entry that is heard at a frame, and the frame at which it begins."""
        found = next(self.spans())
        for span in self.spans():
            if span[1] <= frame:
                found = span
        return found[0], found[1]

    def border(self, side: int) -> str:
        """A name for the begin (0) or end (1) of `own`, the same on both sides of it."""
        entry, begin = self.at(self.own[side])
        return f"{entry.name}@{self.own[side] - begin}"


@dataclass(frozen=True)
class Unit:
    """What is worked on, stored and repeated as a whole: the pieces of one recorder that begin within one hour (UTC)."""

    id: str
    pieces: tuple[Piece, ...]

    @property
    def seconds(self) -> float:
        """Of sound."""
        return sum(piece.seconds for piece in self.pieces)

    @property
    def start_utc(self) -> datetime | None:
        """When its sound begins."""
        piece = self.pieces[0]
        entry, begin = piece.at(piece.own[0])
        if entry.start_utc is None:
            return None
        return entry.start_utc + timedelta(seconds=(piece.own[0] - begin) / piece.rate_hz)

    @property
    def recording(self) -> str:
        """The recording in which its own sound begins; what is read before that only leads in."""
        piece = self.pieces[0]
        return piece.at(piece.own[0])[0].name

    @property
    def name(self) -> str:
        """The time it begins and its identity, to be shown."""
        start = self.start_utc
        return f"{start:%Y%m%dT%H%M%SZ}-{self.id}" if start else f"undated-{self.id}"


def make_unit(pieces: list[Piece], job_key: str) -> Unit:
    """A unit whose identity is everything that its result depends on: sound, its place in the files, and the job."""
    facts = [[_facts(piece) for piece in pieces], job_key]
    return Unit(digest(facts), tuple(pieces))


def _facts(piece: Piece) -> list[Any]:
    # Not where it is or what it is called: an archive that moves keeps its results, and names may be read anew.
    entries = [
        [[(f.size, f.stamp) for f in e.files], e.marks, e.rate_hz, e.frames, e.columns, e.labels] for e in piece.entries
    ]
    return [entries, piece.own, piece.read, piece.joined]


def digest(facts: Any) -> str:
    """Sixteen hexadecimal digits of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
