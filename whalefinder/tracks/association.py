"""Which fixes are of one animal: several hypotheses about it are followed at once, and the likeliest is believed.

A hypothesis is a Kalman filter (`filters`) that has believed some of the fixes and held the others for something else.
Every fix doubles the hypotheses, `HYPOTHESES` of them are kept. A gate decides once and for good; here a decision can be
taken back when later fixes speak against it. Errors are taken as Student's t, whose tails are those of real fixes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from whalefinder.array.geometry import Floats, tangent_offset, tangents
from whalefinder.tracks.fixes import Fixes, Steps, measurement_covariance, merge
from whalefinder.tracks.kalman import FilterSettings, begin, kalman, on_sphere, predict, smooth

HYPOTHESES = 12
FREEDOM = 4.0
ANYWHERE = -np.log(2 * np.pi)  # log density of a sound from anywhere under water, 1/sr
REJECTED, BELIEVED, BEGUN = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What is expected before the first fix.

    Args:
        accelerations: white acceleration of the direction, rad / s^1.5, of a steady and of a turning animal.
        switch: probability at a believed fix of going from one to the other.
        rate_sd: of the first rate, rad/s.
        sd_scale: stated errors times this.
        wrong: share of fixes that are of something else.
        restart: probability at a fix that what was followed is lost and this is the animal; 0 for never.
        voice_sd: spread of the log of the middle frequency within an animal; over all of them it is `VOICES_SD`.
    """

    accelerations: tuple[float, float] = (3e-4, 1.5e-3)
    switch: float = 0.03
    rate_sd: float = 0.006
    sd_scale: float = 1.0
    wrong: float = 0.15
    restart: float = 1e-6
    voice_sd: float = 0.25


USUAL_HZ, VOICES_SD = 3000.0, 0.6
OTHER_VOICE = -1.5  # log likelihood ratio that a new voice costs at most


@dataclass(frozen=True, kw_only=True)
class Hypotheses:
    """The likeliest hypothesis after each step, causally, and the decisions of the likeliest in the end.

    Shape:
        `mean` `[batch, step, 6]`, `covariance` `[batch, step, 6, 6]`; `began`: there is an animal `[batch, step]`; `believed_now`: the
        fix of this step is of it, by what is known then; `share` `[batch, step]`: posterior probability of the likeliest;
        `other` `[batch, step, 3]`: where the second likeliest sees it, if it does; `believed` `[batch, step]`: by what is known in the end;
        `score` `[batch]`: log likelihood against no animal at all.
    """

    mean: Floats
    covariance: Floats
    began: NDArray[np.bool_]
    believed_now: NDArray[np.bool_]
    share: Floats
    other: Floats
    believed: NDArray[np.bool_]
    score: Floats


@dataclass(kw_only=True)
class _Beam:
    """The hypotheses that are alive; slot by slot. Weight is the log likelihood, -inf for an empty slot."""

    mean: Floats  # [batch, slot, 6]
    covariance: Floats  # [batch, slot, 6, 6]
    weight: Floats  # [batch, slot]
    began: NDArray[np.bool_]  # [batch, slot]
    voice: Floats  # [batch, slot]
    turning: NDArray[np.bool_]  # [batch, slot]


def follow_hypotheses(steps: Steps, prior: Prior) -> Hypotheses:
    """Follow one animal along every sequence."""
    batch, length = steps.dt_s.shape
    beam = _empty(batch)
    noise = measurement_covariance(steps.u, prior.sd_scale * steps.sd_rad)
    voice = _voice(steps.call[..., 1], steps.call[..., 2])
    out = Hypotheses(
        mean=np.zeros((batch, length, 6)),
        covariance=np.zeros((batch, length, 6, 6)),
        began=np.zeros((batch, length), bool),
        believed_now=np.zeros((batch, length), bool),
        share=np.ones((batch, length)),
        other=np.zeros((batch, length, 3)),
        believed=np.zeros((batch, length), bool),
        score=np.zeros(batch),
    )
    parents = np.tile(np.arange(HYPOTHESES), (batch, length, 1))
    decisions = np.zeros((batch, length, HYPOTHESES), np.int8)
    rows = np.arange(batch)
    for t in range(length):
        dt = steps.dt_s[:, t, None] * beam.began
        acceleration = np.where(beam.turning, prior.accelerations[1], prior.accelerations[0])
        beam.mean, beam.covariance = predict(beam.mean, beam.covariance, dt, acceleration)
        present = np.flatnonzero(steps.present[:, t])
        if len(present):
            arrived = (steps.u[present, t], noise[present, t], voice[present, t])
            parents[present, t], decisions[present, t] = _branch(beam, present, *arrived, prior)
        best, second = np.argsort(-beam.weight, axis=1)[:, :2].T
        relative = np.exp(beam.weight - beam.weight.max(axis=1, keepdims=True))
        out.mean[:, t], out.covariance[:, t] = beam.mean[rows, best], beam.covariance[rows, best]
        out.began[:, t] = beam.began[rows, best]
        out.believed_now[:, t] = decisions[rows, t, best] != REJECTED
        out.share[:, t] = 1.0 / relative.sum(axis=1)
        some = (beam.began[rows, second] & np.isfinite(beam.weight[rows, second]))[:, None]
        out.other[:, t] = np.where(some, beam.mean[rows, second, :3], beam.mean[rows, best, :3])
    believed = _trace_back(beam.weight.argmax(axis=1), parents, decisions)
    nothing = (steps.present * (np.log(prior.wrong) + ANYWHERE)).sum(axis=1)
    return replace(out, believed=believed, score=beam.weight.max(axis=1) - nothing)


def _empty(batch: int) -> _Beam:
    mean, covariance = begin(
        np.tile([0.0, 1.0, 0.0], (batch, HYPOTHESES, 1)), np.broadcast_to(np.eye(3), (batch, HYPOTHESES, 3, 3)), 0.0
    )
    weight = np.full((batch, HYPOTHESES), -np.inf)
    weight[:, 0] = 0.0  # one hypothesis: nothing has begun
    off = np.zeros((batch, HYPOTHESES), bool)
    return _Beam(
        mean=mean,
        covariance=covariance,
        weight=weight,
        began=off,
        voice=np.zeros((batch, HYPOTHESES)),
        turning=off.copy(),
    )


def _branch(
    beam: _Beam, at: NDArray[np.intp], u: Floats, noise: Floats, voice: Floats, prior: Prior
) -> tuple[NDArray[np.intp], NDArray[np.int8]]:
    """Every hypothesis of the sequences `at` believes the fix or not; the best are kept. → parents and decisions."""
    mean, covariance, weight, pitch = (part[at] for part in (beam.mean, beam.covariance, beam.weight, beam.voice))
    began, turning = beam.began[at], beam.turning[at]
    moved, narrowed, agreement = _believe(mean, covariance, u[:, None], noise[:, None])
    likeness = _likeness(voice[:, None], pitch, prior)
    believe = np.where(began, weight + np.log1p(-prior.wrong) + agreement + likeness, -np.inf)
    starts, starter = _starts(weight, began, prior)
    # Children, slot by slot: the fix is wrong; it is right; it is right and a turn begins or ends; it is the first.
    scores = np.concatenate(
        [
            weight + np.log(prior.wrong) + ANYWHERE,
            believe + np.log1p(-prior.switch),
            believe + np.log(prior.switch),
            starts,
        ],
        axis=1,
    )
    kept = np.argsort(-scores, axis=1, kind="stable")[:, :HYPOTHESES]
    slots = np.arange(weight.shape[1])
    origin = np.concatenate([np.tile(slots, (len(at), 3)), starter], axis=1)
    kinds = np.repeat([REJECTED, BELIEVED, BELIEVED, BEGUN], [len(slots), len(slots), len(slots), starts.shape[1]])
    turns = np.repeat([False, False, True, False, True], [len(slots), len(slots), len(slots), 1, 1])
    parent, decision, turn = np.take_along_axis(origin, kept, axis=1), kinds[kept].astype(np.int8), turns[kept]
    first, wide = begin(u, noise, prior.rate_sd)
    rows = np.arange(len(at))[:, None]
    took, new = decision == BELIEVED, decision == BEGUN
    beam.mean[at] = _pick(new, first[:, None], took, moved[rows, parent], mean[rows, parent])
    beam.covariance[at] = _pick(new, wide[:, None], took, narrowed[rows, parent], covariance[rows, parent])
    beam.weight[at] = np.take_along_axis(scores, kept, axis=1)
    beam.began[at] = began[rows, parent] | new
    older = pitch[rows, parent]
    beam.voice[at] = _pick(new, voice[:, None], took, 0.7 * older + 0.3 * voice[:, None], older)
    beam.turning[at] = np.where(new, turn, turning[rows, parent] ^ turn)
    return parent, decision


def _starts(weight: Floats, began: NDArray[np.bool_], prior: Prior) -> tuple[Floats, NDArray[np.intp]]:
    """A beginning at this fix, steady and turning: scores `[batch, 2]`, and the hypothesis that it comes from.

    Nothing may have begun before, or what was followed is lost; only the likeliest of either starts anew, since the
    others would end in the same state with less weight.
    """
    start = np.where(began, np.log(max(prior.restart, 1e-300)), np.log1p(-prior.wrong)) + ANYWHERE
    starter = (weight + start).argmax(axis=1)[:, None]
    score = np.take_along_axis(weight + start, starter, axis=1)
    return np.concatenate([score, score + np.log(prior.switch)], axis=1), np.repeat(starter, 2, axis=1)


def _pick(new: NDArray[np.bool_], a: Floats, took: NDArray[np.bool_], b: Floats, c: Floats) -> Floats:
    """`a` where new, `b` where took, else `c`; the two masks `[batch, slot]`."""
    shape = (*new.shape, *[1] * (c.ndim - 2))
    return np.where(new.reshape(shape), a, np.where(took.reshape(shape), b, c))


def _believe(mean: Floats, covariance: Floats, u: Floats, noise: Floats) -> tuple[Floats, Floats, Floats]:
    """Robust update with a fix, and the log density (1/sr) of the fix before it.

    With Student's t the noise of a fix at squared distance d² counts (ν + d²) / (ν + 2) times, as in one step of
    reweighted least squares; in two dimensions its density is (1 + d²/ν)^-(ν+2)/2 / (2π √det S).
    """
    level, up = tangents(mean[..., :3])
    axes = np.stack([level, up], axis=-2)  # [..., 2, 3]
    innovation = tangent_offset(axes, mean[..., :3], u)
    mixed = np.swapaxes(covariance[..., :, :3] @ np.swapaxes(axes, -1, -2), -1, -2)  # [..., 2, 6]
    own = mixed[..., :3] @ np.swapaxes(axes, -1, -2)
    error = axes @ noise @ np.swapaxes(axes, -1, -2)
    distance, determinant = _mahalanobis(innovation, own + error)
    density = _student(distance, determinant)
    heavier = np.maximum(1.0, (FREEDOM + distance) / (FREEDOM + 2))
    inverse = np.linalg.inv(own + error * heavier[..., None, None])
    gain = np.swapaxes(mixed, -1, -2) @ inverse
    narrowed = covariance - gain @ mixed
    narrowed = (narrowed + np.swapaxes(narrowed, -1, -2)) / 2  # rounding would tilt it over many fixes
    return on_sphere(mean + (gain @ innovation[..., None])[..., 0]), narrowed, density


def _mahalanobis(x: Floats, s: Floats) -> tuple[Floats, Floats]:
    """Squared distance xᵀ S⁻¹ x and det S for `[..., 2]` and `[..., 2, 2]`."""
    determinant = s[..., 0, 0] * s[..., 1, 1] - s[..., 0, 1] ** 2
    a, b = x[..., 0], x[..., 1]
    distance = (s[..., 1, 1] * a * a - 2 * s[..., 0, 1] * a * b + s[..., 0, 0] * b * b) / determinant
    return distance, determinant


def _student(distance: Floats, determinant: Floats) -> Floats:
    """Log density (1/sr) of Student's t in two dimensions, from squared distance and determinant of the covariance."""
    return np.asarray(-(FREEDOM + 2) / 2 * np.log1p(distance / FREEDOM) - np.log(2 * np.pi) - np.log(determinant) / 2)


def _voice(low_hz: Floats, high_hz: Floats) -> Floats:
    """Log of the middle frequency, Hz."""
    return np.asarray(np.log(np.maximum(low_hz * high_hz, 1.0)) / 2)


def _likeness(voice: Floats, usual: Floats, prior: Prior) -> Floats:
    """Log likelihood ratio of a voice (log frequency): like before speaks for the same animal.

    Another voice speaks against it, but not loudly: animals whistle after they have called.
    """
    ratio = _normal(voice - usual, prior.voice_sd) - _normal(voice - np.log(USUAL_HZ), VOICES_SD)
    return np.maximum(ratio, OTHER_VOICE)


def _normal(x: Floats, sd: float) -> Floats:
    return -0.5 * (x / sd) ** 2 - np.log(sd)


def _trace_back(last: NDArray[np.intp], parents: NDArray[np.intp], decisions: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Decisions of the hypothesis that is in slot `last` at the end; what came before a restart was something else."""
    batch, length, _ = parents.shape
    believed = np.zeros((batch, length), bool)
    rows, slot = np.arange(batch), last.copy()
    for t in range(length - 1, -1, -1):
        believed[:, t] = decisions[rows, t, slot] != REJECTED
        slot = parents[rows, t, slot]
    return believed


AMONG_OTHERS = Prior(accelerations=(1e-4, 6e-4), switch=0.01, wrong=0.5, restart=0.0, voice_sd=0.2)
"""For one animal of several, whose calls are wrong for each other."""
MIN_CALLS = 3
EXCHANGES = 40  # places at which two tracks may have exchanged the rest
MIN_SCORE = 12.0  # log likelihood that an animal must explain more than no animal
ROUNDS = 4


def animals(fixes: Fixes, prior: Prior | None = None, max_animals: int = 20) -> NDArray[np.intp]:
    """Which animal each fix is of, from 0 in order of their first call; -1 for none. `[fix]`.

    The likeliest animal is taken out, then the next among what is left, until none explains enough. Where two cross the first
    has taken fixes of the second by then, so all fixes are dealt out again between the smoothed tracks.
    """
    prior = prior or AMONG_OTHERS
    label = np.full(len(fixes), -1, dtype=np.intp)
    for animal in range(max_animals):
        left = np.flatnonzero(label < 0)
        if len(left) < MIN_CALLS:
            break
        steps = merge([fixes.of(left)], [np.zeros(0)])
        found = follow_hypotheses(steps, prior)
        mine = left[found.believed[0, : len(left)]]
        if len(mine) < MIN_CALLS or found.score[0] < MIN_SCORE:
            break
        label[mine] = animal
    for _ in range(ROUNDS if label.max() > 0 else 0):
        again = _dealt_again(fixes, _uncrossed(fixes, label, prior), prior)
        if (again == label).all():
            break
        label = again
    return _in_order(label)


def _uncrossed(fixes: Fixes, label: NDArray[np.intp], prior: Prior) -> NDArray[np.intp]:
    """Where two tracks explain more after exchanging all that comes after some time, they do.

    The likeliest single animal may well be the talkative halves of two that met.
    """
    for first in range(label.max() + 1):
        for second in range(first + 1, label.max() + 1):
            pair = np.flatnonzero((label == first) | (label == second))
            if len(pair) and min((label == first).sum(), (label == second).sum()) >= MIN_CALLS:
                label = label.copy()
                label[pair] = np.where(_best_exchange(fixes.of(pair), label[pair] == first, prior), first, second)
    return label


def _best_exchange(fixes: Fixes, mine: NDArray[np.bool_], prior: Prior) -> NDArray[np.bool_]:
    """Which fixes are the first animal's, of two, when they may exchange the rest where they come close. `[fix]`."""
    turns = np.flatnonzero(mine[1:] != mine[:-1])
    apart = 1.0 - (fixes.u[turns] * fixes.u[turns + 1]).sum(axis=1)
    close = turns[np.argsort(apart)[:EXCHANGES]]
    after = np.arange(len(fixes)) > np.append(len(fixes), close)[:, None]  # the first way: nothing exchanged
    ways = mine ^ after
    steps = merge([fixes], [np.zeros(0)]).of(np.zeros(2 * len(ways), np.intp))
    score = _log_likelihood(replace(steps, present=np.concatenate([ways, ~ways])), prior).reshape(2, -1).sum(axis=0)
    # Exchanging is believed when it explains clearly more.
    return np.asarray(ways[score.argmax()] if score.max() > score[0] + 2.0 else mine)


def _log_likelihood(steps: Steps, prior: Prior) -> Floats:
    """How well one steady animal explains the fixes of every sequence, `[batch]`."""
    settings = FilterSettings(
        acceleration=2 * prior.accelerations[0], rate_sd=prior.rate_sd, gate=np.inf, sd_scale=prior.sd_scale
    )
    filtered = kalman(steps, settings)
    noise = measurement_covariance(steps.u, prior.sd_scale * steps.sd_rad)
    _, _, density = _believe(filtered.predicted_mean, filtered.predicted_covariance, steps.u, noise)
    return np.asarray(np.where(steps.present & ~filtered.restarted, density, 0.0).sum(axis=1))


def _dealt_again(fixes: Fixes, label: NDArray[np.intp], prior: Prior) -> NDArray[np.intp]:
    """Every fix to the track that expects it most, from all of the track's other fixes, before and after."""
    tracks = np.arange(label.max() + 1)
    steps = merge([fixes], [np.zeros(0)]).of(np.zeros(len(tracks), np.intp))
    own = label == tracks[:, None]  # [track, fix]
    settings = FilterSettings(
        acceleration=prior.accelerations[0] * 2, rate_sd=prior.rate_sd, gate=np.inf, sd_scale=prior.sd_scale
    )
    mean, covariance = smooth(replace(steps, present=own), kalman(replace(steps, present=own), settings))
    axes = np.stack(tangents(mean[..., :3]), axis=-2)
    noise = measurement_covariance(steps.u, prior.sd_scale * steps.sd_rad)
    across = np.swapaxes(axes, -1, -2)
    spread, error = axes @ covariance[..., :3, :3] @ across, axes @ noise @ across
    innovation = tangent_offset(axes, mean[..., :3], steps.u)
    # Without the fix itself the residual is R (R - P)⁻¹ e and its covariance R (R - P)⁻¹ R.
    leave = error @ np.linalg.inv(error - np.minimum(spread, 0.99 * error) + 1e-12 * np.eye(2))
    innovation = np.where(own[..., None], (leave @ innovation[..., None])[..., 0], innovation)
    distance, determinant = _mahalanobis(innovation, np.where(own[..., None, None], leave @ error, error + spread))
    agreement = _student(distance, determinant)
    voice = _voice(fixes.low_hz, fixes.high_hz)
    usual = np.array([np.median(voice[mine]) if mine.any() else np.inf for mine in own])
    likeness = _likeness(voice, usual[:, None], prior)
    score = agreement + likeness + np.log1p(-prior.wrong) - np.log(len(tracks))
    # A track ends with its last call and begins with its first: nothing of it is expected long before or after.
    inside = np.array([_near(fixes.time_s, fixes.time_s[mine]) for mine in own])
    score = np.where(inside, score, -np.inf)
    return np.where(score.max(axis=0) > np.log(prior.wrong) + ANYWHERE, score.argmax(axis=0), -1)


REACH_S = 60.0


def _near(time_s: Floats, of_track_s: Floats) -> NDArray[np.bool_]:
    if not len(of_track_s):
        return np.zeros(len(time_s), bool)
    return np.asarray((time_s > of_track_s[0] - REACH_S) & (time_s < of_track_s[-1] + REACH_S))


def _in_order(label: NDArray[np.intp]) -> NDArray[np.intp]:
    """Animals numbered by their first call; those with too few calls are none."""
    seen = [n for n in dict.fromkeys(label[label >= 0].tolist()) if (label == n).sum() >= MIN_CALLS]
    return np.array([seen.index(n) if n in seen else -1 for n in label.tolist()], dtype=np.intp)
