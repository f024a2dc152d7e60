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
BEFORE_S, FILL_S = 4.0, 0.5  # a hole is filled with the quietest part of the sound before it, over and over
CLIPPED_S, CLIPPED = 0.05, 0.999  # a value near full scale that is held for a shorter time is clipped sound, not a hole
CACHED = 1 << 13  # samples that are looked at together: they stay in the processor's cache
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


@dataclass(kw_only=True)
class HoleFinder:
    """Finds digital silence and held values in blocks of samples on their way, and fills them; mends wrong samples.

    A hole is a stretch in which no channel changes, apart from channels that never did. It is filled with the quietest
    half second of the four before it, since a call that is heard again and again is none. What comes
    out does not depend on the size of the blocks that go in, but a few samples later.

    Args:
        rate_hz: sample rate.
        begin: sample of the file at which the first block begins.
        holes: what is found is added to it.
        wrong: the samples of the file that were wrong are added to it.
    """

    rate_hz: int
    begin: int
    holes: list[Hole]
    wrong: set[int] = field(default_factory=set)
    _open: Hole | None = None
    _moved: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool), repr=False)
    _before: Samples = field(default_factory=lambda: np.zeros((0, 0), np.float32), repr=False)
    _filling: Samples = field(default_factory=lambda: np.zeros((0, 0), np.float32), repr=False)
    _filled: int = 0
    """Samples of the hole at the end of the last block that are filled already; 0 if there is none."""

    def forget(self, end: int | None) -> None:
        """Take out of `holes` what an earlier reading found between the first sample and sample `end` (None: the last)."""
        begin_s, end_s = self.begin / self.rate_hz, math.inf if end is None else end / self.rate_hz
        kept = [hole for hole in self.holes if hole.what not in (SILENCE, HELD) or not begin_s <= hole.begin_s < end_s]
        self.holes[:] = kept

    def blocks(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        """The same samples `[time, channel]`, with holes filled and wrong samples mended."""
        at, waiting = self.begin, None
        for block in blocks:
            whole = block if waiting is None else _joined(waiting, block)
            whole = mended(whole, self.wrong, at)
            enough = self._least + 2 * AROUND
            run = _still_at_end(whole, enough)
            # A run that is too short for a hole may go on in the next block. The last samples are judged again with those
            # that follow.
            goes_on = self._filled > 0 and run == len(whole)
            keep = max(2 * AROUND, run) if run < enough and not goes_on else 2 * AROUND
            if len(whole) > keep:
                ready, waiting = whole[: len(whole) - keep], whole[len(whole) - keep :].copy(order="K")
                yield self._without_holes(ready, waiting[0], at)
                at += len(ready)
            else:
                waiting = whole
        if waiting is not None:
            yield self._without_holes(waiting, None, at)

    @property
    def _least(self) -> int:
        return max(2, round(LEAST_S * self.rate_hz))

    def _without_holes(self, samples: Samples, following: Samples | None, at: int) -> Samples:
        """Fill the holes of samples that begin at sample `at` of the file. `following` is the sample after them."""
        if len(self._moved) != samples.shape[1]:
            self._moved, self._before = np.zeros(samples.shape[1], bool), samples[:0]
        if not self._filled and not self._may_hold(samples):
            self._remember(samples)
            return samples
        moves = np.diff(samples, axis=0, append=samples[-1:] if following is None else following[None]) != 0
        self._moved = self._moved | moves.any(0)
        # still[k]: whether nothing changes from sample k - 1 to sample k, from the last block's last to the following one.
        still = np.concatenate([[self._filled > 0], ~moves[:, self._moved].any(1)])
        still[-1] &= following is not None
        edges = np.flatnonzero(np.diff(np.concatenate([[False], still, [False]]).view(np.int8)))
        out, clean = samples, 0
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            goes_on = first == 0
            first, end = max(0, first - 1), min(len(samples), last)
            if not goes_on and end - first < self._shortest(samples[first]):
                continue
            out = samples.copy(order="K") if out is samples else out
            self._remember(out[clean:first])
            self._fill(out[first:end])
            self._note(
                at + first, at + end, samples[first, self._moved] if self._moved.any() else samples[first], goes_on
            )
            clean = end
            if last <= len(samples):
                self._filled = 0
        self._remember(out[clean:])
        return out

    def _shortest(self, values: Samples) -> int:
        """How many samples at these values are a hole."""
        clipped = bool((np.abs(values[self._moved]) >= CLIPPED).any())
        return round(CLIPPED_S * self.rate_hz) if clipped else self._least

    def _may_hold(self, samples: Samples) -> bool:
        """Whether samples may hold a hole, by a look at few of them: a hole holds at least two of those that lie apart so."""
        sparse = samples[:: self._least // 2]
        same = sparse[1:] == sparse[:-1]
        self._moved = self._moved | ~same.all(0)
        return len(sparse) < 3 or bool(same[:, self._moved].all(1).any())

    def _remember(self, clean: Samples) -> None:
        if len(clean):
            length = round(BEFORE_S * self.rate_hz)
            # Copies, since a part of a block would keep the whole block in memory.
            kept = clean[-length:] if len(clean) >= length else _joined(self._before, clean)[-length:]
            self._before = kept.copy(order="K")

    def _fill(self, hole: Samples) -> None:
        if not self._filled:
            self._filling = self._quietest()
        if len(self._filling):
            places = (self._filled + np.arange(len(hole))) % len(self._filling)
            hole[:] = self._filling[places]
        self._filled += len(hole)

    def _quietest(self) -> Samples:
        """The half second before a hole in which the least happens, by the differences of its samples."""
        length = round(FILL_S * self.rate_hz)
        begins = range(len(self._before) - length, -1, -length // 2)
        if not begins:
            return self._before
        loudness = [float(np.square(np.diff(self._before[k : k + length], axis=0)).mean()) for k in begins]
        quietest = begins[int(np.argmin(loudness))]
        return self._before[quietest : quietest + length]

    def _note(self, first: int, end: int, values: Samples, goes_on: bool) -> None:
        begin_s = first / self.rate_hz
        if goes_on and self._open is not None:
            begin_s = self._open.begin_s
            self.holes.remove(self._open)
        self._open = Hole(begin_s, end / self.rate_hz, HELD if values.any() else SILENCE)
        self.holes.append(self._open)


def _joined(first: Samples, second: Samples) -> Samples:
    """Samples `[time, channel]` one after the other, channel by channel in memory, as blocks are."""
    return np.concatenate([first.T, second.T], axis=1).T


def _still_at_end(samples: Samples, enough: int) -> int:
    """How many samples at the end are equal on all channels; a number above `enough` is not counted out."""
    for part in (samples[-enough - 1 :], samples):
        differing = np.flatnonzero((part != part[-1]).any(1))
        if len(differing):
            return len(part) - 1 - int(differing[-1])
    return len(samples)


def mended(samples: Samples, found: set[int], at: int = 0) -> Samples:
    """The same samples `[time, channel]`; single ones that are far off become the mean of their neighbours.

    A click of an animal lasts longer than a sample, and the filter of the recorder makes it ring. Samples nearer than
    `AROUND` to an end are not judged.

    Args:
        samples: they begin at sample `at` of the file.
        found: the samples of the file that were wrong are added to it.
    """
    if len(samples) <= 4 * AROUND:
        return samples
    few = max(1, len(samples) // 2048)
    off = np.abs(samples[1:-1:few] - (samples[:-2:few] + samples[2::few]) / 2)
    # In quiet sound most differences are 0, and the smallest other one is a bit.
    bit = np.array([column[column > 0].min(initial=1.0) for column in off.T], np.float32)
    usual = FAR / 4 * np.maximum(np.median(off, axis=0), bit)
    for begin in range(0, len(samples), CACHED):
        part = samples[begin : begin + CACHED + 2]
        steps = part[1:] - part[:-1]
        # A wrong sample is a large step up and one down.
        if len(steps) and (np.minimum(steps.max(0), -steps.min(0)) > usual).any():
            first = max(0, begin - 2 * AROUND)
            samples = _judged(samples, usual, first, begin + CACHED + 2 * AROUND, found, at)
    return samples


def _judged(samples: Samples, usual: Samples, begin: int, end: int, found: set[int], at: int) -> Samples:
    """The samples, with wrong ones among [begin, end) mended."""
    part = samples[begin:end]
    off = np.abs(part[1:-1] - (part[:-2] + part[2:]) / 2)
    times, channels = np.nonzero(off > usual)
    inside = (times >= AROUND) & (times < len(off) - AROUND)
    times, channels = times[inside], channels[inside]
    around = off[times[:, None] + np.arange(-AROUND, AROUND + 1), channels[:, None]]
    own, beside = around[:, AROUND], np.delete(around, (AROUND - 1, AROUND, AROUND + 1), axis=1)
    # Its neighbours lie off by half of its own distance, because of it alone.
    next_to = np.abs(around[:, (AROUND - 1, AROUND + 1)] - own[:, None] / 2).max(1)
    wrong = (own > FAR * np.median(beside, axis=1)) & (next_to < ALONE * own) & (beside.max(1) < ALONE * own)
    times, channels = begin + times[wrong] + 1, channels[wrong]
    if len(times):
        samples = samples.copy(order="K")
        samples[times, channels] = (samples[times - 1, channels] + samples[times + 1, channels]) / 2
        found |= {at + int(time) for time in times}
    return samples


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
