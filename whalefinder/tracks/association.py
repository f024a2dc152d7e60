"""Which fixes belong to one animal: several hypotheses are followed at once, and the likeliest one counts.

A hypothesis is a Kalman filter (`kalman`) that uses some of the fixes and takes the others for another sound. Every fix
adds hypotheses, with and without this fix, and the best `HYPOTHESES` of them are kept. So a decision can still change
when later fixes contradict it, which a simple gate cannot do. Errors of fixes follow Student's t distribution, since
large errors are more frequent than a normal distribution allows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from whalefinder.array.geometry import Floats, tangent_offset, tangents
from whalefinder.tracks.fixes import Fixes, Steps, measurement_covariance, merge
from whalefinder.tracks.kalman import FilterSettings, begin, kalman, on_sphere, predict, smooth

HYPOTHESES = 12  # hypotheses that are kept after each fix
FREEDOM = 4.0  # degrees of freedom ν of Student's t
ANYWHERE = -np.log(2 * np.pi)  # log density of a sound from anywhere under water, 1/sr
REJECTED, BELIEVED, BEGUN = 0, 1, 2  # decisions about a fix: another sound, this animal, its first fix


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What is assumed about animals and fixes.

    Args:
        accelerations: white acceleration of the direction, rad / s^1.5, of a steady and of a turning animal.
        switch: probability, at a fix of the animal, that it changes from steady to turning or back.
        rate_sd: standard deviation of the rate at the first fix, rad/s.
        sd_scale: factor on the stated errors of fixes.
        wrong: share of fixes that come from another sound.
        restart: probability, at a fix, that all before was wrong and the animal begins here; 0 for never.
        voice_sd: standard deviation of the log of the middle frequency of one animal's calls. For all animals
            together it is `VOICES_SD`.
    """

    accelerations: tuple[float, float] = (3e-4, 1.5e-3)
    switch: float = 0.03
    rate_sd: float = 0.006
    sd_scale: float = 1.0
    wrong: float = 0.15
    restart: float = 1e-6
    voice_sd: float = 0.25


USUAL_HZ, VOICES_SD = 3000.0, 0.6  # middle frequency of calls of all animals, and standard deviation of its log
OTHER_VOICE = -1.5  # a call at another frequency lowers the log likelihood ratio by at most this


@dataclass(frozen=True, kw_only=True)
class Hypotheses:
    """The likeliest hypothesis after each step, and the decisions of the likeliest hypothesis at the end.

    All but `believed` and `score` are causal: they use only fixes up to their step.

    Args:
        mean: state of the animal: direction and its rate, `[batch, step, 6]`.
        covariance: its covariance, `[batch, step, 6, 6]`.
        began: whether there is an animal yet, `[batch, step]`.
        believed_now: whether the fix of this step belongs to the animal, as known at this step, `[batch, step]`.
        share: probability of the likeliest hypothesis among those that are kept, `[batch, step]`.
        other: direction of the animal by the second likeliest hypothesis, or by the likeliest if there is no
            second, `[batch, step, 3]`.
        believed: whether the fix belongs to the animal, as known at the end, `[batch, step]`.
        score: log likelihood minus that of no animal at all, `[batch]`.
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
class Beam:
    """The hypotheses that are kept, one in each slot. Weight is the log likelihood, -inf for an empty slot."""

    mean: Floats  # [batch, slot, 6]
    covariance: Floats  # [batch, slot, 6, 6]
    weight: Floats  # [batch, slot]
    began: NDArray[np.bool_]  # [batch, slot]
    voice: Floats  # [batch, slot]
    turning: NDArray[np.bool_]  # [batch, slot]


def follow_hypotheses(steps: Steps, prior: Prior) -> Hypotheses:
    """Follow one animal along every sequence of the batch."""
    batch, length = steps.dt_s.shape
    beam = empty_beam(batch)
    noise = measurement_covariance(steps.u, prior.sd_scale * steps.sd_rad)
    voice = voice_of(steps.call[..., 1], steps.call[..., 2])
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
            parents[present, t], decisions[present, t] = branch(beam, present, *arrived, prior)
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


def empty_beam(batch: int) -> Beam:
    """Hypotheses before the first fix: nothing has begun."""
    mean, covariance = begin(
        np.tile([0.0, 1.0, 0.0], (batch, HYPOTHESES, 1)), np.broadcast_to(np.eye(3), (batch, HYPOTHESES, 3, 3)), 0.0
    )
    weight = np.full((batch, HYPOTHESES), -np.inf)
    weight[:, 0] = 0.0  # one hypothesis: nothing has begun
    off = np.zeros((batch, HYPOTHESES), bool)
    return Beam(
        mean=mean,
        covariance=covariance,
        weight=weight,
        began=off,
        voice=np.zeros((batch, HYPOTHESES)),
        turning=off.copy(),
    )


def branch(
    beam: Beam, at: NDArray[np.intp], u: Floats, noise: Floats, voice: Floats, prior: Prior
) -> tuple[NDArray[np.intp], NDArray[np.int8]]:
    """Split every hypothesis of the sequences `at`: the fix belongs to the animal, or not. Keep the best.

    Returns:
        The slot of the parent and the decision, for every hypothesis that is kept.
    """
    mean, covariance, weight, pitch = (part[at] for part in (beam.mean, beam.covariance, beam.weight, beam.voice))
    began, turning = beam.began[at], beam.turning[at]
    moved, narrowed, agreement = believe(mean, covariance, u[:, None], noise[:, None])
    alike = likeness(voice[:, None], pitch, prior)
    taken = np.where(began, weight + np.log1p(-prior.wrong) + agreement + alike, -np.inf)
    starts, starter = _starts(weight, began, prior)
    # Children, in this order: the fix is of another sound; it is of the animal; it is of the animal, which starts or
    # stops turning; the animal begins with it.
    scores = np.concatenate(
        [
            weight + np.log(prior.wrong) + ANYWHERE,
            taken + np.log1p(-prior.switch),
            taken + np.log(prior.switch),
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
    """Hypotheses in which the animal begins with this fix, steady or turning.

    Either there was no animal before, or all that was followed before was wrong. Only the likeliest parent is used,
    since all parents lead to the same new state.

    Returns:
        Scores `[batch, 2]` (steady, turning), and the slots of the parents `[batch, 2]`.
    """
    start = np.where(began, np.log(max(prior.restart, 1e-300)), np.log1p(-prior.wrong)) + ANYWHERE
    starter = (weight + start).argmax(axis=1)[:, None]
    score = np.take_along_axis(weight + start, starter, axis=1)
    return np.concatenate([score, score + np.log(prior.switch)], axis=1), np.repeat(starter, 2, axis=1)


def _pick(new: NDArray[np.bool_], a: Floats, took: NDArray[np.bool_], b: Floats, c: Floats) -> Floats:
    """`a` where `new`, `b` where `took`, else `c`. Both masks are `[batch, slot]`."""
    shape = (*new.shape, *[1] * (c.ndim - 2))
    return np.where(new.reshape(shape), a, np.where(took.reshape(shape), b, c))


def believe(mean: Floats, covariance: Floats, u: Floats, noise: Floats) -> tuple[Floats, Floats, Floats]:
    """Kalman update with a fix, robust against large errors. → new mean, new covariance, log density (1/sr) of the fix.

    With Student's t the noise of a fix at squared distance d² is multiplied by (ν + d²) / (ν + 2), but not by less
    than 1: one step of iteratively reweighted least squares. In two dimensions the density is
    (1 + d²/ν)^(-(ν+2)/2) / (2π √det S).
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
    narrowed = (narrowed + np.swapaxes(narrowed, -1, -2)) / 2  # else rounding makes it asymmetric over many fixes
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


def voice_of(low_hz: Floats, high_hz: Floats) -> Floats:
    """Log of the middle (geometric mean) frequency in hertz."""
    return np.asarray(np.log(np.maximum(low_hz * high_hz, 1.0)) / 2)


def likeness(voice: Floats, usual: Floats, prior: Prior) -> Floats:
    """Log likelihood ratio of a call's middle frequency (as log): this animal against any animal.

    A similar frequency makes the same animal more likely, another frequency less likely. The second effect is limited,
    since animals also make calls of different kinds.
    """
    ratio = _normal(voice - usual, prior.voice_sd) - _normal(voice - np.log(USUAL_HZ), VOICES_SD)
    return np.maximum(ratio, OTHER_VOICE)


def _normal(x: Floats, sd: float) -> Floats:
    return -0.5 * (x / sd) ** 2 - np.log(sd)


def _trace_back(last: NDArray[np.intp], parents: NDArray[np.intp], decisions: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Decisions of the hypothesis in slot `last` at the end, followed back through its parents. `[batch, step]`."""
    batch, length, _ = parents.shape
    believed = np.zeros((batch, length), bool)
    rows, slot = np.arange(batch), last.copy()
    for t in range(length - 1, -1, -1):
        believed[:, t] = decisions[rows, t, slot] != REJECTED
        slot = parents[rows, t, slot]
    return believed


AMONG_OTHERS = Prior(accelerations=(1e-4, 6e-4), switch=0.01, wrong=0.5, restart=0.0, voice_sd=0.2)
"""Assumptions for one of several animals. The calls of the other animals count as fixes of another sound."""
MIN_CALLS = 3  # an animal needs at least this many calls
EXCHANGES = 40  # places that are tried, at which two tracks may have been exchanged
MIN_SCORE = 12.0  # an animal must improve the log likelihood by at least this
ROUNDS = 4  # the fixes are assigned again at most this many times


def animals(fixes: Fixes, prior: Prior | None = None, max_animals: int = 20) -> NDArray[np.intp]:
    """Assign fixes to animals.

    The likeliest animal takes its fixes. Then the next is searched among the fixes that are left, until none
    explains enough. If two animals cross, the first may have taken fixes of the second. So all fixes are then
    assigned again between the smoothed tracks.

    Args:
        fixes: all fixes, in order of time.
        prior: assumptions, or None for `AMONG_OTHERS`.
        max_animals: at most so many.

    Returns:
        `[fix]`: number of the animal, from 0 in the order of their first calls; -1 for none.
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
    """Exchange the rests of two tracks after some time, if the fixes are then likelier.

    This is needed after two animals met: the likeliest single animal may be made of halves of two.
    """
    for first in range(label.max() + 1):
        for second in range(first + 1, label.max() + 1):
            pair = np.flatnonzero((label == first) | (label == second))
            if len(pair) and min((label == first).sum(), (label == second).sum()) >= MIN_CALLS:
                label = label.copy()
                label[pair] = np.where(_best_exchange(fixes.of(pair), label[pair] == first, prior), first, second)
    return label


def _best_exchange(fixes: Fixes, mine: NDArray[np.bool_], prior: Prior) -> NDArray[np.bool_]:
    """Which fixes belong to the first of two animals, after the best exchange where they come close. `[fix]` bool."""
    turns = np.flatnonzero(mine[1:] != mine[:-1])
    apart = 1.0 - (fixes.u[turns] * fixes.u[turns + 1]).sum(axis=1)
    close = turns[np.argsort(apart)[:EXCHANGES]]
    after = np.arange(len(fixes)) > np.append(len(fixes), close)[:, None]  # the first way exchanges nothing
    ways = mine ^ after
    steps = merge([fixes], [np.zeros(0)]).of(np.zeros(2 * len(ways), np.intp))
    score = _log_likelihood(replace(steps, present=np.concatenate([ways, ~ways])), prior).reshape(2, -1).sum(axis=0)
    # The exchange counts only if the log likelihood is clearly higher.
    return np.asarray(ways[score.argmax()] if score.max() > score[0] + 2.0 else mine)


def _log_likelihood(steps: Steps, prior: Prior) -> Floats:
    """How well one steady animal explains the fixes of every sequence, `[batch]`."""
    settings = FilterSettings(
        acceleration=2 * prior.accelerations[0], rate_sd=prior.rate_sd, gate=np.inf, sd_scale=prior.sd_scale
    )
    filtered = kalman(steps, settings)
    noise = measurement_covariance(steps.u, prior.sd_scale * steps.sd_rad)
    _, _, density = believe(filtered.predicted_mean, filtered.predicted_covariance, steps.u, noise)
    return np.asarray(np.where(steps.present & ~filtered.restarted, density, 0.0).sum(axis=1))


def _dealt_again(fixes: Fixes, label: NDArray[np.intp], prior: Prior) -> NDArray[np.intp]:
    """Assign every fix to the track that fits it best, judged by all other fixes of the track, before and after it."""
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
    voice = voice_of(fixes.low_hz, fixes.high_hz)
    usual = np.array([np.median(voice[mine]) if mine.any() else np.inf for mine in own])
    alike = likeness(voice, usual[:, None], prior)
    score = agreement + alike + np.log1p(-prior.wrong) - np.log(len(tracks))
    # A track begins with its first call and ends with its last one. Long before or after, no fix belongs to it.
    inside = np.array([_near(fixes.time_s, fixes.time_s[mine]) for mine in own])
    score = np.where(inside, score, -np.inf)
    return np.where(score.max(axis=0) > np.log(prior.wrong) + ANYWHERE, score.argmax(axis=0), -1)


REACH_S = 60.0  # a fix can belong to a track up to this long before its first or after its last call


def _near(time_s: Floats, of_track_s: Floats) -> NDArray[np.bool_]:
    if not len(of_track_s):
        return np.zeros(len(time_s), bool)
    return np.asarray((time_s > of_track_s[0] - REACH_S) & (time_s < of_track_s[-1] + REACH_S))


def _in_order(label: NDArray[np.intp]) -> NDArray[np.intp]:
    """Number the animals in the order of their first calls. Those with too few calls become -1."""
    seen = [n for n in dict.fromkeys(label[label >= 0].tolist()) if (label == n).sum() >= MIN_CALLS]
    return np.array([seen.index(n) if n in seen else -1 for n in label.tolist()], dtype=np.intp)
