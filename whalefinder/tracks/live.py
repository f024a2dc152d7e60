"""Which fixes belong to one animal, as a live run knows it: every fix is assigned when it is heard, and stays so.

`association.animals` knows all fixes and may give a fix to another animal when later ones speak for it. At sea there are no
later ones. Here every animal that is known has its hypotheses (`association.Beam`), which say how likely the new fix is:

    new fix → the animal that expects it most (direction, voice, rate of calls), if more than a sound from anywhere is expected
            → else it waits; as soon as the fixes that wait explain an animal, a new one is known

So an assignment never changes, and what is cut off at the end changes nothing before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from whalefinder.array.geometry import Floats
from whalefinder.tracks.association import (
    AMONG_OTHERS,
    ANYWHERE,
    MIN_CALLS,
    MIN_SCORE,
    Beam,
    Prior,
    believe,
    branch,
    empty_beam,
    follow_hypotheses,
    likeness,
    voice_of,
)
from whalefinder.tracks.fixes import Fixes, measurement_covariance, merge
from whalefinder.tracks.kalman import predict

ONLY = np.array([0])  # the one sequence of the batch of a beam
RATE_S, LEAST_SHARE = 60.0, 0.02  # e-folding of the rate at which an animal calls, and least share of the next call
MOST_WAITING = 60  # fixes that no animal expects; older ones are given up


@dataclass(frozen=True, kw_only=True)
class LiveAnimal:
    """One animal.

    Args:
        fixes: indices of its fixes, in order of time.
        since_s: time of the fix at which it became known.
    """

    fixes: NDArray[np.intp]
    since_s: float


def animals_so_far(fixes: Fixes, max_silence_s: float, prior: Prior | None = None) -> list[LiveAnimal]:
    """Assign fixes to animals one after the other, each by the fixes before it.

    Args:
        fixes: in order of time.
        max_silence_s: an animal that has been silent for longer is forgotten.
        prior: assumptions, or None for those of `association.animals`.

    Returns:
        The animals in the order in which they became known.
    """
    prior = prior or AMONG_OTHERS
    heard = _Heard(fixes, prior)
    known: list[_Pursuit] = []
    waiting: list[int] = []
    for k, now_s in enumerate(fixes.time_s):
        near = [one for one in known if now_s - fixes.time_s[one.mine[-1]] <= max_silence_s]
        # One of the animals calls next, those that called much of late more likely. Or the fix comes from anywhere.
        rates = np.array([one.rate(now_s) for one in near])
        shares = np.maximum(rates / max(rates.sum(), 1e-9), LEAST_SHARE)
        expected = [one.expects(heard, k) + np.log(share) for one, share in zip(near, shares, strict=True)]
        if near and np.log1p(-prior.wrong) + max(expected) > np.log(prior.wrong) + ANYWHERE:
            near[int(np.argmax(expected))].take(heard, k)
            continue
        waiting = [j for j in waiting if now_s - fixes.time_s[j] <= max_silence_s][-MOST_WAITING:] + [k]
        begun = _begun(fixes, waiting, prior)
        if begun:
            known.append(_Pursuit(heard, begun, float(now_s)))
            waiting = [j for j in waiting if j not in begun]
    return [LiveAnimal(fixes=np.array(one.mine), since_s=one.since_s) for one in known]


def _begun(fixes: Fixes, waiting: list[int], prior: Prior) -> list[int]:
    """Fixes among those that wait that are one animal's, or none."""
    if len(waiting) < MIN_CALLS:
        return []
    found = follow_hypotheses(merge([fixes.of(np.array(waiting))], [np.zeros(0)]), prior)
    mine = [j for j, own in zip(waiting, found.believed[0], strict=False) if own]
    return mine if len(mine) >= MIN_CALLS and found.score[0] >= MIN_SCORE else []


class _Heard:
    """The fixes, as hypotheses take them."""

    def __init__(self, fixes: Fixes, prior: Prior) -> None:
        self.prior, self.time_s, self.u = prior, fixes.time_s, fixes.u
        self.noise = measurement_covariance(fixes.u, prior.sd_scale * fixes.sd_rad)
        self.voice = voice_of(fixes.low_hz, fixes.high_hz)


class _Pursuit:
    """One animal that is followed from fix to fix."""

    def __init__(self, heard: _Heard, mine: list[int], since_s: float) -> None:
        self.beam, self.time_s, self.since_s = empty_beam(1), heard.time_s[mine[0]], since_s
        self.mine: list[int] = []
        self.count = 0.0
        for k in mine:
            self.take(heard, k)

    def rate(self, now_s: float) -> float:
        """How many calls it made in about the last `RATE_S`, the older ones counting less."""
        return float(self.count * np.exp((self.time_s - now_s) / RATE_S))

    def expects(self, heard: _Heard, k: int) -> float:
        """Log density (1/sr) of the fix if it is this animal's, over all hypotheses by their weight."""
        beam = self._at(heard, k)
        weight = np.where(beam.began[0], beam.weight[0], -np.inf)
        _, _, density = believe(beam.mean[0], beam.covariance[0], heard.u[k], heard.noise[k])
        alike = likeness(heard.voice[k], beam.voice[0], heard.prior)
        return float(logsumexp(weight + density + alike) - logsumexp(weight))

    def take(self, heard: _Heard, k: int) -> None:
        """Add a fix to the animal."""
        self.count = self.rate(heard.time_s[k]) + 1
        self.beam, self.time_s = self._at(heard, k), heard.time_s[k]
        branch(self.beam, ONLY, heard.u[None, k], heard.noise[None, k], heard.voice[None, k], heard.prior)
        self.mine.append(k)

    def _at(self, heard: _Heard, k: int) -> Beam:
        """The hypotheses at the time of a fix, before it is heard."""
        beam, prior = self.beam, heard.prior
        dt: Floats = (heard.time_s[k] - self.time_s) * beam.began
        acceleration = np.where(beam.turning, prior.accelerations[1], prior.accelerations[0])
        mean, covariance = predict(beam.mean, beam.covariance, dt, acceleration)
        return Beam(
            mean=mean,
            covariance=covariance,
            weight=beam.weight.copy(),
            began=beam.began.copy(),
            voice=beam.voice.copy(),
            turning=beam.turning.copy(),
        )
