"""The clock of a recording: from seconds of the file to times of day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from whalefinder.sound.holes import Hole

JUMP_S = 0.05
"""Shorter differences between the times of two stretches are the last digits of the times."""


@dataclass(frozen=True)
class Clock:
    """The times of day of a recording.

    Args:
        start_utc: time of the first sample.
        jumps: (second of the file, seconds that passed there without sound), in order. A recorder that writes a duty
            cycle into one file has one at every inner border; time that goes back is negative.
        rate: true seconds in a second of the file: 1, unless the clock of the recorder was found to drift.
    """

    start_utc: datetime
    jumps: tuple[tuple[float, float], ...] = ()
    rate: float = 1.0

    def utc(self, seconds: float) -> datetime:
        """Time of day at a second of the file. At a border it is that of the stretch that begins there."""
        passed = sum(length for at, length in self.jumps if at <= seconds)
        return self.start_utc + timedelta(seconds=seconds * self.rate + passed)

    def begin_utc(self, begin_s: float, end_s: float) -> datetime:
        """Time of day at which an event began. It lies in one stretch, whatever a few milliseconds at a border say."""
        middle = (begin_s + end_s) / 2
        return self.utc(middle) - timedelta(seconds=(middle - begin_s) * self.rate)

    def holes(self) -> Iterator[Hole]:
        """A hole without length at every inner border."""
        for at, length in self.jumps:
            passed = f"{length:.6g} s without sound" if length > 0 else f"the time goes back by {-length:.6g} s"
            yield Hole(at, at, passed)


def clock_of(stretches: list[tuple[float, datetime]]) -> Clock:
    """A clock from the begins of stretches of sound in a file.

    Args:
        stretches: (second of the file, time of day), in order, at least one; the first is at 0 s.
    """
    start = stretches[0][1]
    jumps: list[tuple[float, float]] = []
    passed = 0.0
    for seconds, utc in stretches[1:]:
        jump = (utc - start).total_seconds() - seconds - passed
        if abs(jump) >= JUMP_S:
            jumps.append((seconds, round(jump, 6)))
            passed += jump
    return Clock(start, tuple(jumps))
