"""Which hydrophone is late, drifts, or has changed its place in the order: the hypothesis that makes the delays fit.

Every window gives free delays τ with covariance C. For the right geometry there is a direction u with delays τ(u) near
them. A fault of one hydrophone m adds δ to its delay, constant or growing with time; a wrong order permutes the delays.
Each hypothesis is judged by the number of windows that it makes fit. The fault is named if one hypothesis makes
nearly all windows fit that fit no direction as they are, and no other does so nearly as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from whalefinder.array.geometry import FLATNESS, Floats, HydrophoneArray, tangents
from whalefinder.bearings.fit import degrees_of_freedom
from whalefinder.health.windows import Window
from whalefinder.sound.spectrogram import OVERLAP

LEAST_ERROR_S = 4e-6
"""Error of a delay that is always allowed for: 6 mm in position, or echoes that are weak."""
FITS = 0.01  # a window whose p is below this does not fit
LEAST_WINDOWS = 4
DOUBT, SURE, CLEARER = 0.5, 0.75, 0.7
"""The array is in doubt if fewer windows fit than the first share. A hypothesis is sure if more fit than the second, and
clear if the next best one makes at most the third share as many fit."""
ROUNDS = 8
MOST_PAIRS, LEAST_APART_S, MOST_DRIFT = 150, 3.0, 2e-3
RANK = 1e-3  # least share of a hydrophone's delay that no direction takes up


@dataclass(frozen=True, kw_only=True)
class Delays:
    """Delays of many windows, of the same hydrophones.

    Shape:
        `time_s` `[window]`, `delays_s` `[window, channel]`, `weight` (C⁻¹, 1/s²) `[window, channel, channel]`.
    """

    array: HydrophoneArray
    time_s: Floats
    delays_s: Floats
    weight: Floats

    @classmethod
    def of(cls, windows: Sequence[Window], array: HydrophoneArray) -> Delays:
        """The delays of windows that have all hydrophones of `array`."""
        channels, c = array.num_channels, array.sound_speed_m_s
        centre = np.eye(channels) - 1 / channels
        own = max((array.position_error_m / c) ** 2 + array.timing_error_s**2, LEAST_ERROR_S**2)
        free = np.array([window.delays_s for window in windows])
        if array.lead_s is not None:
            free = free + np.array(array.lead_s) - np.mean(array.lead_s)
        information = np.array([window.information for window in windows])
        covariance = np.linalg.pinv(information, rcond=1e-6, hermitian=True) * OVERLAP + own * centre
        covariance += (array.sound_speed_error_m_s / c) ** 2 * free[:, :, None] * free[:, None, :]
        weight = np.asarray(np.linalg.pinv(covariance, rcond=1e-6, hermitian=True), float)
        return cls(array=array, time_s=np.array([w.time_s for w in windows]), delays_s=free, weight=weight)

    def chosen(self, which: np.ndarray) -> Delays:
        """Some of the windows."""
        return Delays(
            array=self.array, time_s=self.time_s[which], delays_s=self.delays_s[which], weight=self.weight[which]
        )

    def distance(self, delays_s: Floats) -> Floats:
        """T of every window for its best direction (`bearings.fit`). `[window, channel]` → `[window]`."""
        return self._nearest(delays_s)[0]

    def rest(self, delays_s: Floats) -> Floats:
        """Delays less those of the best direction, `[window, channel]` s."""
        return self._nearest(delays_s)[1]

    def _nearest(self, delays_s: Floats) -> tuple[Floats, Floats]:
        """Both for the best direction, by Gauss and Newton."""
        r, c = self._centred(), self.array.sound_speed_m_s
        free = delays_s - delays_s.mean(1, keepdims=True)
        u = self._slowness(free)
        u[np.linalg.norm(u, axis=1) < 0.05] += [0.0, 0.1, 0.0]
        u = self._completed(u)
        least, left = np.full(len(free), np.inf), free.copy()
        for _ in range(ROUNDS):
            rest = free + u @ r.T / c
            distance = np.einsum("km,kmn,kn->k", rest, self.weight, rest)
            left[distance < least] = rest[distance < least]
            least = np.minimum(least, distance)
            axes = np.stack(tangents(u), axis=-1)  # [window, 3, 2]
            slope = -r @ axes / c
            along = np.einsum("kmi,kmn->kin", slope, self.weight)
            step = np.linalg.pinv(along @ slope, rcond=1e-9, hermitian=True) @ (along @ rest[..., None])
            u = u + (axes @ step)[..., 0]
            u /= np.linalg.norm(u, axis=1, keepdims=True)
        return least, left

    def fits(self, delays_s: Floats | None = None) -> np.ndarray:
        """Which windows fit some direction, `[window]` bool."""
        limit = stats.chi2.isf(FITS, degrees_of_freedom(self.array))
        return self.distance(self.delays_s if delays_s is None else delays_s) < limit  # type: ignore[no-any-return]

    def _centred(self) -> Floats:
        return self.array.positions_m - self.array.positions_m.mean(0)

    def _slowness(self, free: Floats) -> Floats:
        """Directions, not of unit length, by least squares: τ = -R s / c. `[..., channel]` → `[..., 3]`."""
        return np.asarray(-self.array.sound_speed_m_s * free @ np.linalg.pinv(self._centred(), rcond=FLATNESS).T)

    def _completed(self, u: Floats) -> Floats:
        """Unit vectors: across a plane or a line, what is missing to the length of 1 goes along its normal."""
        size = np.linalg.norm(u, axis=1)
        if self.array.shape != "volume":
            normal = self.array.principal_axes()[1][2]
            u = u + np.sqrt(np.maximum(1 - size**2, 1e-4))[:, None] * normal
        return np.asarray(u / np.linalg.norm(u, axis=1, keepdims=True))

    def late_by(self, m: int) -> Floats:
        """For each window the delays δ of hydrophone m that may explain it, `[window, 2]` s.

        Where the array fills space, the apparent slowness s - δ p must have the length of 1: two roots. With
        more hydrophones than unknowns, least squares gives δ as well.
        """
        column = np.eye(self.array.num_channels)[m] - 1 / self.array.num_channels
        free = self.delays_s
        r = self._centred()
        left = np.eye(len(r)) - 1 / len(r) - r @ np.linalg.pinv(r, rcond=FLATNESS)
        if np.trace(left) > 0.5 and (size := float(column @ left @ column)) > RANK:
            delta = free @ left @ column / size
            return np.stack([delta, delta], axis=1)
        if self.array.shape != "volume":
            return np.zeros((len(free), 2))
        s, p = self._slowness(free), self._slowness(column[None])[0]
        across, square = s @ p, float(p @ p)
        root = np.sqrt(np.maximum(across**2 - square * (np.einsum("ki,ki->k", s, s) - 1), 0.0))
        return np.stack([across - root, across + root], axis=1) / square


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A hypothesis about the delays, and how many windows fit with it.

    Args:
        kind: `delay`, `drift` or `order`.
        hydrophones: the index of the faulty one; for `order`, the hydrophone that each place really holds.
        delay_s: at the begin of the recording. Positive: the channel is late.
        drift: growth of the delay per second. Positive: the channel's clock is fast, so that it counts more samples.
        share: of windows that fit.
    """

    kind: str
    hydrophones: tuple[int, ...]
    delay_s: float = 0.0
    drift: float = 0.0
    share: float = 0.0
    fits: np.ndarray = field(default_factory=lambda: np.zeros(0, bool), compare=False)


def explain(delays: Delays) -> Explanation | None:
    """The one fault of delays that explains the windows, or None if none does, or several do."""
    best: dict[tuple[str, tuple[int, ...]], Explanation] = {}
    for each in _hypotheses(delays):
        key = (each.kind, each.hydrophones)
        if key not in best or each.share > best[key].share:
            best[key] = each
    # A constant delay is a drift of 0; the simpler one wins unless the drift makes more windows fit.
    ranked = sorted(best.values(), key=lambda e: (-round(e.share, 1), e.kind == "drift", -e.share))
    if not ranked or ranked[0].share < SURE:
        return None
    first = ranked[0]
    rivals = [e for e in ranked[1:] if not set(e.hydrophones) & set(first.hydrophones) or e.kind == "order"]
    if rivals and rivals[0].share > CLEARER * first.share:
        return None
    return first


def _hypotheses(delays: Delays) -> Iterator[Explanation]:
    channels = delays.array.num_channels
    for m in range(channels):
        roots = delays.late_by(m)
        yield from _constant(delays, m, roots)
        yield from _drifting(delays, m, roots)
    for order in _orders(channels):
        fits = delays.fits(delays.delays_s[:, order])
        yield Explanation(kind="order", hydrophones=tuple(order), share=float(fits.mean()), fits=fits)


def _orders(channels: int) -> Iterator[list[int]]:
    """Orders that mistakes make: two channels swapped, all turned by some places, or reversed."""
    places = list(range(channels))
    seen = {tuple(places)}
    turned = [places[k:] + places[:k] for k in range(1, channels)]
    swapped = []
    for m, n in itertools.combinations(places, 2):
        order = places.copy()
        order[m], order[n] = n, m
        swapped.append(order)
    for order in [*swapped, *turned, places[::-1]]:
        if tuple(order) not in seen:
            seen.add(tuple(order))
            yield order


def _judged(delays: Delays, m: int, delay_s: float, drift: float) -> Explanation:
    late = (delay_s + drift * delays.time_s)[:, None] * np.eye(delays.array.num_channels)[m]
    fits = delays.fits(delays.delays_s - late)
    kind = "drift" if drift else "delay"
    return Explanation(kind=kind, hydrophones=(m,), delay_s=delay_s, drift=drift, share=float(fits.mean()), fits=fits)


def _constant(delays: Delays, m: int, roots: Floats) -> Iterator[Explanation]:
    """The delays around which most roots lie."""
    values = np.sort(roots.ravel())
    if not len(values) or not roots.any():
        return
    width = 3 * LEAST_ERROR_S
    crowd = np.searchsorted(values, values + width) - np.searchsorted(values, values - width)
    for index in np.argsort(-crowd)[:4]:
        near = values[np.abs(values - values[index]) < width]
        yield _judged(delays, m, float(np.median(near)), 0.0)


def _drifting(delays: Delays, m: int, roots: Floats) -> Iterator[Explanation]:
    """Lines through the roots of two windows; the line near which most roots lie is judged (RANSAC)."""
    rng = np.random.default_rng(0)
    t = delays.time_s
    if len(t) < LEAST_WINDOWS + 1 or not roots.any():
        return
    pairs = rng.integers(0, len(t), (4 * MOST_PAIRS, 2))
    pairs = pairs[np.abs(t[pairs[:, 0]] - t[pairs[:, 1]]) > LEAST_APART_S][:MOST_PAIRS]
    best: tuple[int, float, float] | None = None
    for i, k in pairs:
        for a, b in itertools.product(roots[i], roots[k]):
            drift = float((b - a) / (t[k] - t[i]))
            start = float(a - drift * t[i])
            if not 0 < abs(drift) < MOST_DRIFT:
                continue
            near = int((np.abs(roots - (start + drift * t)[:, None]).min(1) < 3 * LEAST_ERROR_S).sum())
            if best is None or near > best[0]:
                best = (near, start, drift)
    if best is not None:
        _, start, drift = best
        line = (start + drift * t)[:, None]
        chosen = np.abs(roots - line).argmin(1)
        points = roots[np.arange(len(t)), chosen]
        good = np.abs(points - line[:, 0]) < 3 * LEAST_ERROR_S
        if good.sum() >= 2:
            drift, start = (float(x) for x in np.polyfit(t[good], points[good], 1))
        yield _judged(delays, m, start, drift)
