"""Which events are a machine's: alike sounds that follow each other like a clock, for half a minute and longer.

Whales repeat a call too, but not so evenly: between the calls of one animal the intervals vary by half of their mean and
more. So an event belongs to a machine if there are enough events like it in the minute before and the minute after, and
if their intervals vary so little that this is chance once in a thousand times. With an array, a call like a machine's
sound that comes from elsewhere is no machine's. The labels and the classifier's probabilities play no part.

An event can be judged only a minute later, so `Context` keeps what was found until then. The judgement uses nothing
further away than a minute: it does not depend on how a recording is read or cut.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from whalefinder.calls.events import Event
from whalefinder.calls.masks import CALL, Masks
from whalefinder.sound.spectrogram import FIRST_BIN, FRAME_S, NUM_BINS

Floats = NDArray[np.float64]
Item = TypeVar("Item")

REACH_S = 60.0  # events up to so long before and after are looked at
LEAST_EVENTS, LEAST_S = 6, 25.0  # a train has at least so many events, and lasts at least so long
ALIKE = 0.8  # cosine between the shapes of two events that are alike
DIRECTION_SD = 4.0  # errors within which two directions are one
MOST = 2 / 3  # share of a train that is most of it
LONGER = 2.0  # of two events that are alike the longer one lasts at most this many times as long
MOST_STEPS = 3  # between two events of a train up to two may be missed, but most intervals are one period
WHALE_SPREAD, CHANCE = 0.28, 1e-3
"""Intervals of a whale vary by at least this share of their mean (calls every 3 to 8 s, drawn evenly, have 0.26; the
field recordings have more). A train is so even that a whale's calls would be so once in a thousand times."""
BANDS = np.unique(np.geomspace(FIRST_BIN, FIRST_BIN + NUM_BINS, 33).round().astype(int))[:-1] - FIRST_BIN
"""First bins of the bands of a shape; their width grows with the frequency."""
WIDTHS = np.diff(BANDS, append=NUM_BINS)


@dataclass(frozen=True, kw_only=True, eq=False)
class Signature:
    """What is kept of an event, to compare it with others.

    Args:
        begin_s: begin, seconds from the start of the recording.
        length_s: length in seconds.
        shape: mean call share in bands of frequency, `[band]`, of length 1.
        group: number of the group of hydrophones that heard it. Only events of one group are compared.
        u: unit vector `[3]` of its direction, or None.
        sd_rad: standard deviation of the direction, the larger one, in radians.
    """

    begin_s: float
    length_s: float
    shape: Floats
    group: int = 0
    u: Floats | None = None
    sd_rad: float = 0.0


def signature_of(
    masks: Masks, event: Event, group: int = 0, u: Floats | None = None, covariance: Floats | None = None
) -> Signature:
    """The signature of an event of these masks, heard from `u` with the covariance `[2, 2]` rad²."""
    share = masks.shares[CALL, :, event.begin : event.end].mean(-1).numpy().astype(float)
    shape = np.add.reduceat(share, BANDS) / WIDTHS
    return Signature(
        begin_s=(masks.first_frame + event.begin) * FRAME_S,
        length_s=(event.end - event.begin) * FRAME_S,
        shape=shape / max(float(np.linalg.norm(shape)), 1e-12),
        group=group,
        u=u,
        sd_rad=0.0 if covariance is None else math.sqrt(max(0.0, float(np.linalg.eigvalsh(covariance)[-1]))),
    )


def machines(asked: list[Signature], signatures: list[Signature]) -> list[bool]:
    """Which events are of a machine's train.

    Args:
        asked: the events that are judged.
        signatures: all events up to `REACH_S` before and after these. Themselves and events further away may be among
            them.
    """
    if len(signatures) < LEAST_EVENTS:
        return [False] * len(asked)
    shapes = np.stack([signature.shape for signature in signatures])
    begins, lengths, groups = np.array(
        [(signature.begin_s, signature.length_s, signature.group) for signature in signatures]
    ).T
    said = []
    for signature in asked:
        alike = (
            (np.abs(begins - signature.begin_s) <= REACH_S)
            & (groups == signature.group)
            & (shapes @ signature.shape >= ALIKE)
        )
        alike &= (lengths <= LONGER * signature.length_s) & (lengths >= signature.length_s / LONGER)
        index = np.flatnonzero(alike)
        said.append(len(index) >= LEAST_EVENTS and _belongs(signature, [signatures[i] for i in index]))
    return said


def _belongs(signature: Signature, alike: list[Signature]) -> bool:
    from_there = _from_there(signature, alike)
    return _is_train(from_there) or (
        len(from_there) < len(alike) and _is_train(alike) and not _stands_apart(alike, signature)
    )


def _is_train(signatures: list[Signature]) -> bool:
    times = np.unique([signature.begin_s for signature in signatures])
    if len(times) < LEAST_EVENTS or times[-1] - times[0] < LEAST_S:
        return False
    count, spread = evenness(times)
    # The sum of squares has one degree of freedom less than there are intervals, since the period is fitted to them.
    return count + 1 >= LEAST_EVENTS and count * spread**2 <= WHALE_SPREAD**2 * _chi2_of_chance(count - 1)


@lru_cache
def _chi2_of_chance(freedom: int) -> float:
    return float(chi2.ppf(CHANCE, freedom))


def _from_there(signature: Signature, others: list[Signature]) -> list[Signature]:
    """The others from the same direction within the errors, and all whose direction is unknown."""
    if signature.u is None:
        return others
    return [
        o
        for o in others
        if o.u is None or _angle(signature.u, o.u) <= DIRECTION_SD * math.hypot(signature.sd_rad, o.sd_rad)
    ]


def _stands_apart(alike: list[Signature], signature: Signature) -> bool:
    """Whether most of a train come from one direction, and this event from another one.

    A pure tone has several directions that fit alike, so the pings of one pinger scatter over a few; none has most.
    """
    largest = max((_from_there(other, alike) for other in alike), key=len)
    return len(largest) >= MOST * len(alike) and signature not in largest


def _angle(u: Floats, v: Floats) -> float:
    return math.acos(max(-1.0, min(1.0, float(u @ v))))


def evenness(times_s: Floats) -> tuple[int, float]:
    """How evenly events follow each other, where some may be missed and some counted twice.

    Args:
        times_s: begins of the events, in rising order, `[event]`.

    Returns:
        The number of intervals, and the root mean square of their differences from the nearest of one, two or three
        periods, as a share of the period. It is infinite if there are fewer than two intervals, or if fewer than
        `MOST` of them are one period.
    """
    kept, period = list(times_s), 0.0
    for _ in range(2):  # doubles make the period too short, so it is measured once more without them
        period = float(np.median(np.diff(kept))) if len(kept) > 1 else 0.0
        single = kept[:1]
        for time in kept[1:]:
            if time - single[-1] >= period / 2:
                single.append(time)
        kept = single
    intervals = np.diff(kept)
    if len(intervals) < 2:
        return len(intervals), np.inf
    steps = np.clip(np.round(intervals / period), 1, MOST_STEPS)
    if np.mean(steps == 1) < MOST:
        return len(intervals), np.inf
    period = float(intervals @ steps / (steps @ steps))  # least squares
    return len(intervals), float(np.sqrt(np.mean((intervals / period - steps) ** 2)))


class Context(Generic[Item]):
    """Keeps what was found in a recording until the minute after it is known, and says what belongs to a machine.

    Memory holds what was found in about two minutes and a stretch.
    """

    def __init__(self) -> None:
        self._signatures: deque[Signature] = deque()
        self._waiting: deque[tuple[float, list[tuple[Signature | None, Item]]]] = deque()

    def add(self, found: list[tuple[Signature | None, Item]], until_s: float) -> None:
        """Add all that was found up to the time `until_s`; what has no signature is no machine's."""
        self._signatures += [signature for signature, _ in found if signature is not None]
        self._waiting.append((until_s, found))

    def settled(self, until_s: float) -> Iterator[list[tuple[Item, bool]]]:
        """The additions that can be judged when all is known up to `until_s`, in order: (item, is a machine's)."""
        while self._waiting and self._waiting[0][0] + REACH_S <= until_s:
            begin_s, found = self._waiting.popleft()
            said = iter(
                machines([signature for signature, _ in found if signature is not None], list(self._signatures))
            )
            yield [(item, signature is not None and next(said)) for signature, item in found]
            self._signatures = deque(
                signature for signature in self._signatures if signature.begin_s >= begin_s - REACH_S
            )
