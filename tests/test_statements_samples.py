"""Statements of the examination paper on samples, capacity and generalisation, each against what theory says exactly."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch

from tests.doubles import EXACT


def waves(x, count):
    """`[sample, count]` columns 1, cos πx, cos 2πx, …"""
    return np.cos(np.pi * np.arange(count) * x[:, None])


def test_the_learning_rate_changes_the_way_not_the_capacity():
    """Any rate that converges reaches what least squares allows; more columns allow more."""
    rng = np.random.default_rng(0)
    x = (np.arange(200) + 0.5) / 200
    y = np.abs(x - 0.4) + 0.1 * rng.standard_normal(200)
    best = []
    for count in (2, 4, 8):
        columns = waves(x, count)
        solution, residual, _, _ = np.linalg.lstsq(columns, y, rcond=None)
        best.append(residual[0])
        for rate in (0.1, 0.5, 0.9):
            w = np.zeros(count)
            for _ in range(500):
                w -= rate * columns.T @ (columns @ w - y) / 200
            assert np.abs(w - solution).max() < EXACT
    assert best[0] > best[1] > best[2]


def regression(samples, features, noise, rng):
    return (x := rng.standard_normal((samples, features))), x @ np.ones(features) + noise * rng.standard_normal(samples)


def test_more_independent_samples_close_the_gap():
    """Least squares of d weights on n samples of noise 1: training 1 - d/n rises, test 1 + d/(n-d-1) falls, both to 1."""
    rng, d = np.random.default_rng(0), 10
    gaps = []
    for n in (20, 40, 160):
        training, test = [], []
        for _ in range(1000):
            x, y = regression(n, d, 1.0, rng)
            w = np.linalg.lstsq(x, y, rcond=None)[0]
            training.append(np.mean((y - x @ w) ** 2))
            test.append(1 + np.sum((w - 1) ** 2))  # the expectation over all new samples
        assert np.mean(training) == pytest.approx(1 - d / n, rel=0.05)
        assert np.mean(test) == pytest.approx(1 + d / (n - d - 1), rel=0.08)
        gaps.append(np.mean(test) - np.mean(training))
    assert gaps[0] > gaps[1] > gaps[2]


def test_with_time_the_test_loss_falls_and_rises_again():
    """Finite data, much noise: descent learns what is there first and the noise afterwards."""
    x, y = regression(60, 50, 4.0, np.random.default_rng(0))
    w, training, test = np.zeros(50), [], []
    for _ in range(3000):
        training.append(np.mean((y - x @ w) ** 2))
        test.append(16.0 + np.sum((w - 1) ** 2))
        w -= 0.2 * x.T @ (x @ w - y) / 60
    assert all(later <= earlier for earlier, later in pairwise(training))
    turn = int(np.argmin(test))
    assert 0 < turn < 1000 and test[turn] < 0.95 * test[0] and test[-1] > 1.5 * test[turn]


def test_augmentation_adds_no_independent_samples():
    """n samples of variance 1, k noisy copies of each (variance 1/4): the mean has 1/n + 1/(4nk), never below 1/n."""
    rng, n = np.random.default_rng(0), 10
    for k in (1, 4, 64):
        samples = rng.standard_normal((4000, n, 1))
        copies = samples + 0.5 * rng.standard_normal((4000, n, k))
        measured = copies.mean((1, 2)).var()
        assert measured == pytest.approx(1 / n + 0.25 / (n * k), rel=0.1)
        assert measured > 0.9 / n
    independent = (1 + 0.25) / (n * 64)  # what 64 times as many samples would have brought
    assert independent < measured / 40


def test_augmentation_improves_generalisation():
    """Noise of variance s on n inputs is a ridge n s: with few samples the copies help as much as the ridge does."""
    rng = np.random.default_rng(0)
    plain, augmented, ridge = [], [], []
    for _ in range(20):
        x, y = regression(24, 20, 2.0, rng)
        copies = np.concatenate([x + 0.5 * rng.standard_normal(x.shape) for _ in range(200)])
        plain.append(np.linalg.lstsq(x, y, rcond=None)[0])
        augmented.append(np.linalg.lstsq(copies, np.tile(y, 200), rcond=None)[0])
        ridge.append(np.linalg.solve(x.T @ x + 24 * 0.25 * np.eye(20), x.T @ y))
    errors = [np.mean([np.sum((w - 1) ** 2) for w in found]) for found in (plain, augmented, ridge)]
    assert errors[1] < errors[0] / 2
    assert errors[1] == pytest.approx(errors[2], rel=0.1)


def test_dropout_works_against_overfitting():
    """Dropped inputs of a linear model are a ridge p / (1 - p) diag(XᵀX): with few samples that helps as much as the ridge."""
    rng, p = np.random.default_rng(0), 0.4
    torch.manual_seed(0)
    dropout = torch.nn.Dropout(p).train()
    training, test = [], []
    for _ in range(20):
        x, y = regression(24, 20, 2.0, rng)
        seen = dropout(torch.from_numpy(np.tile(x, (400, 1)))).numpy()
        found = (
            np.linalg.lstsq(x, y, rcond=None)[0],
            np.linalg.lstsq(seen, np.tile(y, 400), rcond=None)[0],
            np.linalg.solve(x.T @ x + p / (1 - p) * np.diag(np.sum(x**2, 0)), x.T @ y),
        )
        training.append([np.mean((y - x @ w) ** 2) for w in found])
        test.append([4.0 + np.sum((w - 1) ** 2) for w in found])  # the expectation over all new samples
    (fits, dropped_fits, _), (plain, dropped, ridge) = np.mean(training, 0), np.mean(test, 0)
    assert dropped < plain / 2 and dropped_fits > fits  # better on new samples, worse on those that it saw
    assert dropped == pytest.approx(ridge, rel=0.05)


def test_a_single_sine_realises_every_labelling():
    """sign sin(ω x) of the points 10⁻¹ … 10⁻⁶: ω = π (1 + Σ 10ᵏ over the points labelled -1). One weight, any labels.

    So a complicated function is no measure of capacity, and neither is the number of weights.
    """
    powers = np.arange(1, 7)
    for labels in product((-1, 1), repeat=len(powers)):
        omega = np.pi * (1 + sum(10.0**k for k, label in zip(powers, labels, strict=True) if label < 0))
        assert np.array_equal(np.sign(np.sin(omega * 10.0**-powers)), labels)


def nearest_is_right(features, labels, allowed):
    """Share of windows whose nearest other window, of those allowed, has their label."""
    distance = np.linalg.norm(features[:, None] - features[None], axis=-1)
    distance[~allowed] = np.inf
    return np.mean(labels[distance.argmin(1)] == labels)


def test_a_split_by_window_flatters():
    """Ten windows of each of 60 recordings, labels by coin: nothing can be learned, and a split by window scores 100 %."""
    rng = np.random.default_rng(0)
    recording = np.repeat(np.arange(60), 10)
    labels = rng.integers(0, 2, 60)[recording]
    features = rng.standard_normal((60, 8))[recording] + 0.1 * rng.standard_normal((600, 8))
    other_window = ~np.eye(600, dtype=bool)
    other_recording = recording[:, None] != recording[None]
    assert nearest_is_right(features, labels, other_window) > 0.99
    assert nearest_is_right(features, labels, other_recording) == pytest.approx(0.5, abs=0.2)  # 3 σ of 60 coins


def test_more_windows_of_one_recorder_do_not_teach_the_next_one():
    """Recorders differ by τ² = 1, windows by σ² = 4: the mean of R recorders of n windows misses a new one by τ²(1 + 1/R) + σ²/(Rn)."""
    rng = np.random.default_rng(0)
    missed = {}
    for recorders, windows in ((1, 10), (1, 1000), (10, 100)):
        means = rng.standard_normal((20_000, recorders)) + np.sqrt(4 / windows) * rng.standard_normal(
            (20_000, recorders)
        )
        missed[recorders, windows] = np.mean((means.mean(1) - rng.standard_normal(20_000)) ** 2)
        expected = 1 + 1 / recorders + 4 / (recorders * windows)
        assert missed[recorders, windows] == pytest.approx(expected, rel=0.05)
    assert missed[1, 1000] > 1.9  # a hundred times the windows: the recorder's own offset stays
    assert missed[10, 100] < 1.2  # the same thousand windows from ten recorders
