"""Measures of detections and labels: matching, bearing errors, counts, curves, calibration, with intervals.

Inputs and outputs are NumPy arrays or numbers, times in seconds, angles in degrees. Intervals are 95 % intervals, or of
`level`. SciPy gives them. Scikit-learn (extra `train`) gives the curves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincinv

from whalefinder.array.geometry import direction, great_circle_rad
from whalefinder.errors import OptionError
from whalefinder.optional import needs

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
LEVEL = 0.95


class Timed(Protocol):
    """Anything with a begin and an end."""

    @property
    def begin_s(self) -> float:
        """Seconds from the start of the recording."""

    @property
    def end_s(self) -> float:
        """Seconds from the start of the recording."""


T = TypeVar("T", bound=Timed)


def shared_s(one: Timed, other: Timed) -> float:
    """Seconds that two events share. A negative number is the gap between them."""
    return min(one.end_s, other.end_s) - max(one.begin_s, other.begin_s)


def match(truth: Timed, detections: Sequence[T]) -> T | None:
    """The detection that shares most time with a true call, or None if no detection overlaps it."""
    best = max(detections, key=lambda detection: shared_s(truth, detection), default=None)
    return best if best is not None and shared_s(truth, best) > 0 else None


def bearing_error_deg(
    true_azimuth_deg: float, true_elevation_deg: float, azimuth_deg: float, elevation_deg: float
) -> float:
    """Great-circle error in degrees.

    >>> round(bearing_error_deg(359.0, 0.0, 1.0, 0.0), 6)   # across north
    2.0
    """
    true_u = direction(np.radians(true_azimuth_deg), np.radians(true_elevation_deg))
    found_u = direction(np.radians(azimuth_deg), np.radians(elevation_deg))
    return float(np.degrees(great_circle_rad(true_u, found_u)))


@dataclass(frozen=True)
class Interval:
    """A figure with its confidence interval. All are nan if nothing was counted.

    >>> print(Interval(0.9, 0.8706, 0.9234))
    0.900 (0.871-0.923)
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Text with three decimals."""
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"


UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))


def wilson(successes: int, trials: int, level: float = LEVEL) -> Interval:
    """Share of `successes` with Wilson's score interval (1927). It also fits small samples and shares near 0 or 1.

    Raises:
        OptionError: the rule 0 <= successes <= trials is broken.
    """
    return _share_of(successes, trials, level, "wilson")


def exact_share(successes: int, trials: int, level: float = LEVEL) -> Interval:
    """Share of `successes` with the exact interval of Clopper and Pearson (1934). It is never too narrow.

    >>> print(exact_share(0, 60))   # 1 - 0.025^(1/60): six in a hundred cannot be excluded
    0.000 (0.000-0.060)

    Raises:
        OptionError: not 0 <= successes <= trials.
    """
    return _share_of(successes, trials, level, "exact")


def _share_of(successes: int, trials: int, level: float, method: str) -> Interval:
    if not 0 <= successes <= trials:
        raise OptionError(f"{successes} of {trials}: a share needs 0 <= successes <= trials")
    if trials == 0:
        return UNKNOWN
    from scipy.stats import binomtest  # takes seconds to load, and the demo needs this module too

    low, high = binomtest(successes, trials).proportion_ci(level, method=method)
    return Interval(successes / trials, float(low), float(high))


def poisson_rate(events: int, exposure: float, level: float = LEVEL) -> Interval:
    """Events per unit of `exposure` with Garwood's exact interval (1936). Even without any event it has an upper limit.

    >>> print(poisson_rate(0, 1.0))   # 3.689 in one hour cannot be excluded
    0.000 (0.000-3.689)

    Raises:
        OptionError: negative events, or an exposure that is not above 0.
    """
    if events < 0 or not exposure > 0:
        raise OptionError(f"{events} events in {exposure}: a rate needs events >= 0 and exposure > 0")
    tail = (1 - level) / 2
    low = float(gammaincinv(events, tail)) if events else 0.0
    return Interval(events / exposure, low / exposure, float(gammaincinv(events + 1, 1 - tail)) / exposure)


def false_alarms_per_hour(alarms: int, seconds: float, level: float = LEVEL) -> Interval:
    """False alarms per hour: `alarms` in `seconds` of recordings without a call.

    Raises:
        OptionError: as `poisson_rate`.
    """
    return poisson_rate(alarms, seconds / 3600, level)


@dataclass(frozen=True)
class Counts:
    """Counts of two classes: calls found, calls missed, false alarms, and clips without a call and without an alarm.

    >>> paper = Counts.complete(total=1000, accuracy=0.84, true_positive=450, false_negative=50)
    >>> paper
    Counts(true_positive=450, false_negative=50, false_positive=110, true_negative=390)
    >>> round(paper.recall, 3), round(paper.specificity, 3), round(paper.f1, 3)
    (0.9, 0.78, 0.849)
    """

    true_positive: int
    false_negative: int
    false_positive: int
    true_negative: int

    @classmethod
    def of(cls, truth: ArrayLike, predicted: ArrayLike) -> Counts:
        """Count two sequences of booleans `[clip]`.

        Raises:
            OptionError: the sequences have different lengths.
        """
        true, found = _pair(truth, predicted)
        alarm = found > 0
        return cls(
            int((true & alarm).sum()),
            int((true & ~alarm).sum()),
            int((~true & alarm).sum()),
            int((~true & ~alarm).sum()),
        )

    @classmethod
    def complete(cls, *, total: int, accuracy: float, true_positive: int, false_negative: int) -> Counts:
        """Compute all counts from accuracy and the two counts of recall.

        `accuracy · total` clips are right, so TN = right - TP and FP = total - right - FN.

        Raises:
            OptionError: no counts fit.
        """
        right = round(accuracy * total)
        if abs(right - accuracy * total) > 1e-6 * total:
            raise OptionError(
                f"accuracy {accuracy} of {total} clips is {accuracy * total:g} clips; give a whole number"
            )
        counts = cls(true_positive, false_negative, total - right - false_negative, right - true_positive)
        if min(counts.true_positive, counts.false_negative, counts.false_positive, counts.true_negative) < 0:
            raise OptionError(f"{counts}: no count can be negative; check total {total} and accuracy {accuracy}")
        return counts

    @property
    def total(self) -> int:
        """Number of clips."""
        return self.true_positive + self.false_negative + self.false_positive + self.true_negative

    @property
    def accuracy(self) -> float:
        """Share of clips with the right answer."""
        return _share(self.true_positive + self.true_negative, self.total)

    @property
    def recall(self) -> float:
        """Share of calls that are found (sensitivity)."""
        return _share(self.true_positive, self.true_positive + self.false_negative)

    @property
    def specificity(self) -> float:
        """Share of clips without a call that give no alarm."""
        return _share(self.true_negative, self.true_negative + self.false_positive)

    @property
    def precision(self) -> float:
        """Share of alarms that are calls. It depends on how many clips have a call."""
        return _share(self.true_positive, self.true_positive + self.false_positive)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN)."""
        return _share(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)

    def intervals(self, level: float = LEVEL) -> dict[str, Interval]:
        """Every share with Wilson's interval, by name. F1 is not a share; `bootstrap` gives its interval."""
        tp, fn, fp, tn = self.true_positive, self.false_negative, self.false_positive, self.true_negative
        return {
            "accuracy": wilson(tp + tn, self.total, level),
            "recall": wilson(tp, tp + fn, level),
            "specificity": wilson(tn, tn + fp, level),
            "precision": wilson(tp, tp + fp, level),
        }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _pair(truth: ArrayLike, value: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    true, values = np.asarray(truth, np.bool_), np.asarray(value, np.float64)
    if true.shape != values.shape or true.ndim != 1:
        raise OptionError(f"shapes {true.shape} and {values.shape}: two sequences of equal length are needed")
    return true, values


def confusion(truth: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> Integers:
    """Confusion matrix: how often clips of each true class got each label, in the order of `classes`.

    Shape:
        → `[truth, predicted]`.

    Raises:
        OptionError: a name is not in `classes`, or the sequences have different lengths.
    """
    index = {name: k for k, name in enumerate(classes)}
    unknown = sorted({*truth, *predicted} - set(classes))
    if unknown or len(truth) != len(predicted):
        raise OptionError(
            f"{len(truth)} truths, {len(predicted)} names, unknown {unknown}; classes are {list(classes)}"
        )
    table = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(table, ([index[name] for name in truth], [index[name] for name in predicted]), 1)
    return table


def bootstrap(
    statistic: Callable[[Integers], float],
    groups: Sequence[object],
    *,
    repeats: int = 1000,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """A figure with its bootstrap interval (percentiles), drawing whole groups.

    Mixtures with the same call are not independent samples. So a group should be a source clip or a recording.

    Args:
        statistic: function from indices `[clip]`, which may repeat, to the figure.
        groups: the group of every clip.
        repeats: number of draws.
        seed: of the draws.
        level: of the interval.
    """
    names: dict[object, list[int]] = {}
    for clip, group in enumerate(groups):
        names.setdefault(group, []).append(clip)
    if not names:
        return UNKNOWN
    members = [np.array(clips, np.int64) for clips in names.values()]
    rng = np.random.default_rng(seed)
    drawn = [
        statistic(np.concatenate([members[k] for k in rng.integers(0, len(members), len(members))]))
        for _ in range(repeats)
    ]
    seen = np.array(drawn)[np.isfinite(drawn)]
    value = statistic(np.arange(len(groups)))
    low, high = np.quantile(seen, [(1 - level) / 2, (1 + level) / 2]) if len(seen) else (np.nan, np.nan)
    return Interval(value, float(low), float(high))


@dataclass(frozen=True)
class Curve:
    """Points of a curve `[point]`, the threshold of each, and its area (`precision_recall`: average precision)."""

    x: Floats
    y: Floats
    threshold: Floats
    area: float


def roc(truth: ArrayLike, score: ArrayLike) -> Curve:
    """False-alarm rate and recall for every threshold. An area of 0.5 is chance, for any share of calls.

    Raises:
        OptionError: one of the two classes is missing, or scikit-learn is not installed.
    """
    needs("sklearn", what="a ROC curve")
    from sklearn.metrics import auc, roc_curve

    true, scores = _both_classes(truth, score)
    false_alarms, recall, threshold = roc_curve(true, scores)
    return Curve(false_alarms, recall, threshold, float(auc(false_alarms, recall)))


def precision_recall(truth: ArrayLike, score: ArrayLike) -> Curve:
    """Recall and precision for every threshold. If calls are rare, this curve says more than `roc`.

    Raises:
        OptionError: one of the two classes is missing, or scikit-learn is not installed.
    """
    needs("sklearn", what="a precision-recall curve")
    from sklearn.metrics import average_precision_score, precision_recall_curve

    true, scores = _both_classes(truth, score)
    precision, recall, threshold = precision_recall_curve(true, scores)
    # The last point, recall 0, belongs to a threshold above every score.
    return Curve(recall, precision, np.append(threshold, np.inf), float(average_precision_score(true, scores)))


def best_threshold(truth: ArrayLike, score: ArrayLike) -> float:
    """The threshold with the highest F1, where `score >= threshold` is a call. Choose it on dev and use it on test.

    Raises:
        OptionError: as `precision_recall`.
    """
    curve = precision_recall(truth, score)
    f1 = 2 * curve.x * curve.y / np.maximum(curve.x + curve.y, 1e-12)
    return float(curve.threshold[int(f1[:-1].argmax())])


def _both_classes(truth: ArrayLike, score: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    true, scores = _pair(truth, score)
    if true.all() or not true.any():
        raise OptionError(f"{len(true)} clips of one class; a curve needs clips with and without a call")
    return true, scores


@dataclass(frozen=True)
class Reliability:
    """Stated probability and the observed share of calls, `[bin]` each (nan if empty); `error`: their mean distance."""

    stated: Floats
    observed: Floats
    count: Integers
    error: float


def reliability(truth: ArrayLike, probability: ArrayLike, bins: int = 10) -> Reliability:
    """Calibration in bins of equal width. `error` is the expected calibration error, weighted by the clips in a bin.

    Raises:
        OptionError: a probability is outside [0, 1], or the sequences have different lengths.
    """
    true, p = _pair(truth, probability)
    if len(p) and not (0 <= p.min() and p.max() <= 1):
        raise OptionError(f"probabilities from {p.min():g} to {p.max():g}; allowed are 0 to 1")
    place = np.clip(np.ceil(p * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, weights=p, minlength=bins) / count
        observed = np.bincount(place, weights=true.astype(np.float64), minlength=bins) / count
    error = float(np.nansum(count * np.abs(mean - observed)) / max(1, len(p)))
    return Reliability(mean, observed, count.astype(np.int64), error)
