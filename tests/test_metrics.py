"""Matching, counts, intervals, curves and calibration, against closed forms, scikit-learn, SciPy and torchmetrics."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from whalefinder.errors import OptionError
from whalefinder.evaluation.metrics import (
    Counts,
    bearing_error_deg,
    best_threshold,
    bootstrap,
    confusion,
    exact_share,
    false_alarms_per_hour,
    match,
    poisson_rate,
    precision_recall,
    reliability,
    roc,
    wilson,
)


def span(begin, end):
    return SimpleNamespace(begin_s=begin, end_s=end)


def test_the_detection_that_shares_most_time_is_the_one():
    early, late = span(0.0, 1.2), span(1.2, 3.0)
    assert match(span(1.0, 2.0), [early, late]) is late
    assert match(span(3.0, 4.0), [early, late]) is None and match(span(0, 1), []) is None


def test_great_circles_by_hand():
    assert bearing_error_deg(0, 0, 90, 0) == pytest.approx(90.0)
    assert bearing_error_deg(0, -90, 180, -90) == pytest.approx(0.0, abs=1e-9)  # azimuth means nothing straight down


def test_the_papers_table_completes_itself():
    table = Counts.complete(total=1000, accuracy=0.84, true_positive=450, false_negative=50)
    assert (table.true_negative, table.false_positive, table.total) == (390, 110, 1000)
    assert table.recall == 0.90 and table.specificity == 0.78
    assert table.precision == 450 / 560 and table.f1 == 900 / 1060 and table.accuracy == 0.84
    # Handwritten beside it: FP = 10 and FP + FN = 100, which would be 90 % right, or 94 %.
    assert Counts(450, 50, 10, 490).accuracy == 0.94


@pytest.mark.parametrize(
    "wrong",
    [
        {"total": 10, "accuracy": 0.84, "true_positive": 4, "false_negative": 1},  # 8.4 clips
        {"total": 10, "accuracy": 0.2, "true_positive": 4, "false_negative": 1},  # fewer right than hits
    ],
)
def test_a_table_that_cannot_be_is_refused(wrong):
    with pytest.raises(OptionError):
        Counts.complete(**wrong)


@pytest.fixture
def scored():
    rng = np.random.default_rng(7)
    truth = rng.random(400) < 0.3
    # Rounded, so that scores tie.
    return truth, np.round(np.clip(rng.normal(0.35 + 0.3 * truth, 0.2), 0, 1), 2)


def test_counts_are_those_of_scikit_learn(scored):
    from sklearn import metrics

    truth, score = scored
    found = score >= 0.5
    ours = Counts.of(truth, found)
    assert ours.accuracy == pytest.approx(metrics.accuracy_score(truth, found))
    assert ours.precision == pytest.approx(metrics.precision_score(truth, found))
    assert ours.recall == pytest.approx(metrics.recall_score(truth, found))
    assert ours.specificity == pytest.approx(metrics.recall_score(~truth, ~found))
    assert ours.f1 == pytest.approx(metrics.f1_score(truth, found))
    assert np.isnan(Counts(0, 0, 0, 5).recall)  # nothing to find: not 0, not 1


def test_confusion_is_that_of_scikit_learn():
    from sklearn.metrics import confusion_matrix

    classes = ("orca", "boat", "ambient")
    rng = np.random.default_rng(1)
    truth, named = (rng.choice(classes, 60).tolist() for _ in range(2))
    assert np.array_equal(confusion(truth, named, classes), confusion_matrix(truth, named, labels=classes))
    with pytest.raises(OptionError, match="seal"):
        confusion(["seal"], ["orca"], classes)


def test_areas_by_their_meaning(scored):
    truth, score = scored
    # The area under the ROC curve is the share of pairs in which the call scores higher, a tie counting half.
    difference = score[truth][:, None] - score[~truth][None]
    assert roc(truth, score).area == pytest.approx((difference > 0).mean() + 0.5 * (difference == 0).mean())
    # Average precision is the sum of precision over the steps of recall.
    curve = precision_recall(truth, score)
    assert curve.area == pytest.approx(-np.sum(np.diff(curve.x) * curve.y[:-1]))
    at = 40
    point = Counts.of(truth, score >= curve.threshold[at])
    assert (curve.x[at], curve.y[at]) == pytest.approx((point.recall, point.precision))
    with pytest.raises(OptionError, match="one class"):
        roc(np.ones(3), np.arange(3))


def test_the_best_threshold_has_the_highest_f1(scored):
    truth, score = scored
    chosen = best_threshold(truth, score)
    assert Counts.of(truth, score >= chosen).f1 == max(Counts.of(truth, score >= t).f1 for t in np.unique(score))


@pytest.mark.parametrize(("k", "n"), [(0, 17), (15, 17), (17, 17), (450, 500)])
def test_wilsons_limits_are_as_far_from_the_share_as_their_own_scatter_allows(k, n):
    """Wilson 1927: the p at which (k/n - p)² = z² p (1 - p) / n."""
    found, z = wilson(k, n), stats.norm.isf(0.025)
    for p in (found.low, found.high):
        assert (k / n - p) ** 2 == pytest.approx(z**2 * p * (1 - p) / n, abs=1e-12)
    assert found.low <= found.value == k / n <= found.high


@pytest.mark.parametrize("events", [0, 1, 7])
def test_garwood_leaves_two_and_a_half_percent_on_either_side(events):
    rate = poisson_rate(events, 2.0)
    assert stats.poisson.cdf(events, rate.high * 2.0) == pytest.approx(0.025)
    if events:
        assert stats.poisson.sf(events - 1, rate.low * 2.0) == pytest.approx(0.025)
    else:
        assert rate.low == 0 and rate.high * 2.0 == pytest.approx(-np.log(0.025))


def test_alarms_are_counted_per_hour():
    assert false_alarms_per_hour(1, 22 * 60).value == pytest.approx(60 / 22)
    with pytest.raises(OptionError, match="exposure"):
        false_alarms_per_hour(1, 0.0)


def test_the_bootstrap_draws_source_clips_not_mixtures():
    rng = np.random.default_rng(0)
    by_clip = rng.normal(size=30)
    values = np.repeat(by_clip, 20)  # twenty mixtures of each of thirty clips, all alike
    alone = bootstrap(lambda index: float(values[index].mean()), range(600))
    grouped = bootstrap(lambda index: float(values[index].mean()), np.repeat(np.arange(30), 20).tolist())
    closed_form = 1.96 * by_clip.std() / np.sqrt(30)
    assert (grouped.high - grouped.low) / 2 == pytest.approx(closed_form, rel=0.1)
    assert (alone.high - alone.low) < 0.3 * (grouped.high - grouped.low)


def test_calibration_error_is_that_of_torchmetrics(scored):
    import torch
    from torchmetrics.functional.classification import binary_calibration_error

    truth, score = scored
    ours = reliability(truth, score, bins=8)
    theirs = binary_calibration_error(torch.tensor(score), torch.tensor(truth).int(), n_bins=8)
    assert ours.error == pytest.approx(float(theirs), abs=1e-5) and ours.count.sum() == 400


def test_stated_probabilities_that_come_true_are_calibrated():
    rng = np.random.default_rng(3)
    stated = rng.random(20_000)
    assert reliability(rng.random(20_000) < stated, stated).error < 0.02
    overconfident = reliability(rng.random(20_000) < 0.5, np.full(20_000, 0.9))
    assert overconfident.error == pytest.approx(0.4, abs=0.02) and np.isnan(overconfident.observed[0])
    with pytest.raises(OptionError, match="allowed are 0 to 1"):
        reliability([True], [1.2])


@pytest.mark.parametrize(("successes", "trials"), [(0, 21), (1, 40), (13, 40), (40, 40), (299, 300)])
def test_exact_share_is_clopper_pearson_by_quantiles_of_beta(successes, trials):
    found = exact_share(successes, trials)
    low = stats.beta.ppf(0.025, successes, trials - successes + 1) if successes else 0.0
    high = stats.beta.ppf(0.975, successes + 1, trials - successes) if successes < trials else 1.0
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    if successes == trials:  # all of n: the lower limit is 0.025^(1/n)
        assert found.low == pytest.approx(0.025 ** (1 / trials))
    with pytest.raises(OptionError):
        exact_share(trials + 1, trials)
