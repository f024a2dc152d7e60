"""Holes: stretches of a recording in which nothing was heard, or between whose sides time has passed.

Recorders fill lost sound with zeros or hold the last value, clocks jump between the parts of a file, single samples are
wrong. What networks hear there must look like the sea around it, and no event may lie in a hole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whalefinder.sound import spectrogram

Samples = NDArray[np.float32]
SILENCE, HELD, STEP = "digital silence", "a value that is held", "a step of the level"
CUT_S = 0.15  # where sound was cut out, what lies nearer belongs to no event; wider than the gaps that events bridge
LEAST_S = 0.005  # so long no sound stays at one value on all hydrophones
FILL_S = 1.0  # a hole is filled with the sound of this time before it, over and over
AROUND = 8  # samples on each side by which a sample is judged
FAR = 40.0  # a wrong sample is so many times further from the line between its neighbours than others are
ALONE = 0.05  # and its neighbours lie off their own lines by less than this share of that


@dataclass(frozen=True)
class Hole:
    """A hole from `begin_s` to `end_s`, in seconds of the file. Both are equal where sound was cut out.

    `what` says in a few words what it is, for example "digital silence".
    """

    begin_s: float
    end_s: float
    what: str

    def later(self, seconds: float) -> Hole:
        """The same hole in a file that begins so many seconds earlier."""
        return Hole(self.begin_s + seconds, self.end_s + seconds, self.what)


@dataclass
class HoleFinder:
    """Finds digital silence and held values in blocks of samples on their way, and fills them.

    A hole is a stretch in which no channel changes, apart from channels that never did. It is filled with the second of
    sound before it. What comes out does not depend on the size of the blocks that go in, but a few samples later.

    Args:
        rate_hz: sample rate.
        begin: sample of the file at which the first block begins.
        holes: what is found is added to it.
    """

    rate_hz: int
    begin: int
    holes: list[Hole]
    _moved: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool), repr=False)
    _before: Samples = field(default_factory=lambda: np.zeros((0, 0), np.float32), repr=False)
    _filled: int = 0
    """Samples of the hole at the end of the last block that are filled already; 0 if there is none."""

    def forget(self, end: int | None) -> None:
        """Take out of `holes` what an earlier reading found between the first sample and sample `end` (None: the last)."""
        begin_s, end_s = self.begin / self.rate_hz, math.inf if end is None else end / self.rate_hz
        kept = [hole for hole in self.holes if hole.what not in (SILENCE, HELD) or not begin_s <= hole.begin_s < end_s]
        self.holes[:] = kept

    def blocks(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        """The same samples `[time, channel]`, with holes filled."""
        at, waiting = self.begin, None
        for block in blocks:
            whole = block if waiting is None else np.concatenate([waiting, block])
            run = _still_at_end(whole)
            # A run that is too short for a hole may go on in the next block. One sample always waits, to compare with.
            keep = run if run < self._least and not (self._filled and run == len(whole)) else 1
            ready, waiting = whole[: len(whole) - keep], whole[len(whole) - keep :]
            if len(ready):
                yield self._without_holes(ready, whole[len(ready)], at)
                at += len(ready)
        if waiting is not None:
            yield self._without_holes(waiting, None, at)

    @property
    def _least(self) -> int:
        return max(2, round(LEAST_S * self.rate_hz))

    def _without_holes(self, samples: Samples, following: Samples | None, at: int) -> Samples:
        """Fill the holes of samples that begin at sample `at` of the file. `following` is the sample after them."""
        moves = np.diff(samples, axis=0, append=samples[-1:] if following is None else following[None]) != 0
        if len(self._moved) != samples.shape[1]:
            self._moved, self._before = np.zeros(samples.shape[1], bool), samples[:0]
        self._moved = self._moved | moves.any(0)
        # still[k]: whether nothing changes from sample k - 1 to sample k, from the last block's last to the following one.
        still = np.concatenate([[self._filled > 0], ~moves[:, self._moved].any(1)])
        still[-1] &= following is not None
        edges = np.flatnonzero(np.diff(np.concatenate([[False], still, [False]]).view(np.int8)))
        out, clean = samples, 0
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            goes_on = first == 0
            first, end = max(0, first - 1), min(len(samples), last)
            if end - first < self._least and not goes_on:
                continue
            out = samples.copy() if out is samples else out
            self._remember(out[clean:first])
            self._fill(out[first:end])
            self._note(at + first, at + end, samples[first, self._moved], goes_on)
            clean = end
            if last <= len(samples):
                self._filled = 0
        self._remember(out[clean:])
        return out

    def _remember(self, clean: Samples) -> None:
        if len(clean):
            length = round(FILL_S * self.rate_hz)
            self._before = np.concatenate([self._before, clean[-length:]])[-length:].copy()

    def _fill(self, hole: Samples) -> None:
        if len(self._before):
            places = (self._filled + np.arange(len(hole))) % len(self._before)
            hole[:] = self._before[places]
        self._filled += len(hole)

    def _note(self, first: int, end: int, values: Samples, goes_on: bool) -> None:
        begin_s = self.holes.pop().begin_s if goes_on and self.holes else first / self.rate_hz
        self.holes.append(Hole(begin_s, end / self.rate_hz, HELD if values.any() else SILENCE))


def _still_at_end(samples: Samples) -> int:
    """How many samples at the end are equal on all channels."""
    differs = (samples != samples[-1]).any(1)
    last = np.flatnonzero(differs)
    return len(samples) - 1 - int(last[-1]) if len(last) else len(samples)


def without_wrong_samples(blocks: Iterable[Samples], found: list[int]) -> Iterator[Samples]:
    """The same samples `[time, channel]`; single ones that are far off become the mean of their neighbours.

    A click of an animal lasts longer than a sample, and the filter of the recorder makes it ring. `found` gets the number
    of each sample that was wrong, counted from the first block.
    """
    at, waiting = 0, None
    for block in blocks:
        whole = block if waiting is None else np.concatenate([waiting, block])
        if len(whole) > 4 * AROUND:
            whole = _mended(whole, found, at)
            # The samples around the end are judged once more, with those that follow.
            yield whole[: -2 * AROUND]
            at += len(whole) - 2 * AROUND
            whole = whole[-2 * AROUND :]
        waiting = whole
    if waiting is not None:
        yield waiting


def _mended(samples: Samples, found: list[int], at: int) -> Samples:
    off = np.abs(samples[1:-1] - (samples[:-2] + samples[2:]) / 2)
    usual = np.median(off[:: max(1, len(off) // 4096)], axis=0)
    times, channels = np.nonzero(off > np.maximum(FAR / 4 * usual, np.finfo(np.float32).tiny))
    inside = (times >= AROUND) & (times < len(off) - AROUND)
    times, channels = times[inside], channels[inside]
    if not len(times):
        return samples
    around = off[times[:, None] + np.arange(-AROUND, AROUND + 1), channels[:, None]]
    own, beside = around[:, AROUND], np.delete(around, (AROUND - 1, AROUND, AROUND + 1), axis=1)
    # Its neighbours lie off by half of its own distance, because of it alone.
    next_to = np.abs(around[:, (AROUND - 1, AROUND + 1)] - own[:, None] / 2).max(1)
    wrong = (own > FAR * np.median(beside, axis=1)) & (next_to < ALONE * own) & (beside.max(1) < ALONE * own)
    if not wrong.any():
        return samples
    times, channels = times[wrong] + 1, channels[wrong]
    mended = samples.copy()
    mended[times, channels] = (samples[times - 1, channels] + samples[times + 1, channels]) / 2
    found += sorted({at + int(time) for time in times})
    return mended


def frames_of(holes: Iterable[Hole], begin_s: float) -> Iterator[tuple[int, int]]:
    """Frames [first, end) whose windows touch a hole, counted from the time `begin_s` of the file on."""
    half_s = spectrogram.WINDOW / 2 / spectrogram.RATE_HZ
    for hole in holes:
        if hole.what == STEP:
            continue  # found in the spectra, where `steps.around` says how far it reaches
        margin_s = half_s if hole.end_s > hole.begin_s else CUT_S
        first = math.floor((hole.begin_s - margin_s - begin_s) / spectrogram.FRAME_S)
        end = math.ceil((hole.end_s + margin_s - begin_s) / spectrogram.FRAME_S) + 1
        if end > 0:
            yield max(0, first), end
