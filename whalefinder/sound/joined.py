"""Recordings that follow each other without a gap, read as one. A call that crosses the end of a file stays whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from whalefinder.sound.holes import STEP, Hole
from whalefinder.sound.recording import Recording, Samples, resampled


@dataclass(frozen=True)
class Part:
    """Frames [begin, end) of one recording of a chain, at its own rate.

    Args:
        opened: opens the recording when it is needed and closes it after. So a file on another machine is fetched only
            when needed and is not kept after that.
        begin, end: frames of the recording, in its own sample rate.
        watched: problems are reported for these frames only, [begin, end). The frames around them belong to another
            unit of work, which reports their problems.
    """

    opened: Callable[[], AbstractContextManager[Recording]]
    begin: int
    end: int
    watched: tuple[int, int]


@dataclass(kw_only=True)
class ChainedRecording(Recording):
    """A recording made of parts with the same sample rate and the same channels. One part is open at a time.

    A part that ends too early ends the chain, since the next part would be placed too early in time. Then
    `parts[:read]` have been read, and the others can make another chain. (Filling the gap with silence is worse: the
    sudden change would be detected as an event.)
    """

    parts: tuple[Part, ...] = ()
    read: int = 0

    def blocks(self) -> Iterator[Samples]:
        """Blocks `[channel, time]` at `RATE_HZ`, without gaps or overlaps where one file ends and the next begins.

        Raises:
            RecordingError: a file cannot be read at all.
        """
        return resampled(self._chained(), self.rate_hz, self.num_channels)

    def _chained(self) -> Iterator[Samples]:
        self.read = at = 0
        before: list[Hole] = []
        for part in self.parts:
            frames = 0
            shift_s = (at - part.begin) / self.rate_hz
            with part.opened() as recording:
                for block in _blocks(recording, part):
                    frames += len(block)
                    steps = (
                        hole for hole in self.holes if hole.what == STEP
                    )  # the search adds them to the chain itself
                    self.holes[:] = [*before, *(hole.later(shift_s) for hole in recording.holes), *steps]
                    yield block
            self.read += 1
            before, at = [hole for hole in self.holes if hole.what != STEP], at + part.end - part.begin
            if frames < part.end - part.begin:
                return


def _blocks(recording: Recording, part: Part) -> Iterator[Samples]:
    """The part's frames in three stretches: before, within and after `watched`. Only `watched` reports problems."""
    return recording.filled(_watched(recording, part), part.begin, part.end)


def _watched(recording: Recording, part: Part) -> Iterator[Samples]:
    first, last = (min(max(frame, part.begin), part.end) for frame in part.watched)
    for begin, end in ((part.begin, first), (first, last), (last, part.end)):
        if begin < end:
            before = list(recording.problems)
            yield from recording.watched_blocks(begin, end)
            if (begin, end) != (first, last):
                recording.problems[:] = before
