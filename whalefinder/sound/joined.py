"""Recordings that follow each other without a gap, read as one: a call that runs across a file's end stays whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from whalefinder.sound.recording import Recording, Samples, resampled


@dataclass(frozen=True)
class Part:
    """Frames [begin, end) of one recording of a chain, at its own rate.

    Args:
        opened: gives the recording when its turn comes and takes it back after, so that a distant file is fetched no
            earlier and kept no longer.
        watched: problems are told of these frames alone, [begin, end): those around them are another unit's.
    """

    opened: Callable[[], AbstractContextManager[Recording]]
    begin: int
    end: int
    watched: tuple[int, int]


@dataclass(kw_only=True)
class ChainedRecording(Recording):
    """A recording made of parts, all of one rate and with the same channels; one part is open at a time.

    A part that ends too early ends the chain, since what follows is not where it should be: `parts[:read]` are read, and
    the others can be another chain. (Silence in its place would be heard as an event by those who look for changes.)
    """

    parts: tuple[Part, ...] = ()
    read: int = 0

    def blocks(self) -> Iterator[Samples]:
        """Blocks `[channel, time]` at `RATE_HZ`, without gaps or overlaps at the files' ends."""
        return resampled(self._chained(), self.rate_hz, self.num_channels)

    def _chained(self) -> Iterator[Samples]:
        self.read = 0
        for part in self.parts:
            frames = 0
            with part.opened() as recording:
                for block in _blocks(recording, part):
                    frames += len(block)
                    yield block
            self.read += 1
            if frames < part.end - part.begin:
                return


def _blocks(recording: Recording, part: Part) -> Iterator[Samples]:
    """The part's frames in three stretches; of those outside `watched` nothing is reported."""
    first, last = (min(max(frame, part.begin), part.end) for frame in part.watched)
    for begin, end in ((part.begin, first), (first, last), (last, part.end)):
        if begin < end:
            before = list(recording.problems)
            yield from recording.checked_blocks(begin, end)
            if (begin, end) != (first, last):
                recording.problems[:] = before
