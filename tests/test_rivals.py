"""The tracker's rivals on swims whose answer is known by hand."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from bench import grid_bayes, imm, rivals, tracks
from whalefinder.array.geometry import angles, direction, great_circle_rad
from whalefinder.tracks.fixes import Fixes, merge
from whalefinder.tracks.kalman import EYE
from whalefinder.training.swims import SCENARIOS, draw_swim

GATED = {
    "kalman": (rivals.kalman_causal, rivals.kalman_smoother),
    "imm": (imm.imm, lambda steps: imm.imm(steps, smoother=True)),
    "grid": (grid_bayes.grid_bayes, lambda steps: grid_bayes.grid_bayes(steps, smoother=True)),
}


def fixes_at(time_s, azimuth_deg, sd_deg=0.2, elevation_deg=-10.0):
    time_s = np.asarray(time_s, float)
    u = direction(
        np.radians(np.broadcast_to(azimuth_deg, time_s.shape)), np.full(time_s.shape, np.radians(elevation_deg))
    )
    same = np.ones(len(time_s))
    return Fixes(
        time_s=time_s,
        u=u,
        sd_rad=np.full((len(u), 2), np.radians(sd_deg)),
        snr_db=10 * same,
        low_hz=1000 * same,
        high_hz=3000 * same,
    )


def great_circle_swim(rate_deg_s=0.3, length_s=200.0, every_s=4.0):
    """An animal on the great circle from north towards a point in the east, 30° down; → fixes, asked times, truth."""
    asked = np.arange(length_s + 1)
    towards = direction(np.radians(90.0), np.radians(-30.0))

    def at(time_s):
        angle = np.radians(rate_deg_s) * np.asarray(time_s)[:, None]
        return np.cos(angle) * np.array([0.0, 1.0, 0.0]) + np.sin(angle) * towards

    time_s = np.arange(0.0, length_s + 1, every_s)
    azimuth, elevation = angles(at(time_s))
    fixes = fixes_at(time_s, np.degrees(azimuth), elevation_deg=np.degrees(elevation))
    return fixes, asked, at(asked)


def test_raw_holds_and_interpolates():
    steps = merge([fixes_at([0.0, 10.0], [0.0, 20.0], elevation_deg=0.0)], [np.array([5.0, 10.0])])
    asked = steps.asked[0]
    for method, expected in ((rivals.raw, [0.0, 20.0]), (rivals.raw_smoother, [10.0, 20.0])):
        azimuth = np.degrees(angles(method(steps)[0, asked])[0])
        assert np.allclose(azimuth, expected, atol=1e-9), (method, azimuth)


@pytest.mark.parametrize("name", GATED)
def test_steady_motion_without_noise_is_followed(name):
    fixes, asked, truth = great_circle_swim()
    steps = merge([fixes], [asked])
    for method in GATED[name]:
        error = np.degrees(great_circle_rad(method(steps)[0, steps.asked[0]], truth))
        # A filter has to learn the rate first, and smoothers start from a rate near 0 too.
        assert error[100:].max() < 0.01, (name, error[100:].max())


@pytest.mark.parametrize("name", GATED)
def test_a_lone_outlier_is_not_followed(name):
    fixes, asked, truth = great_circle_swim()
    u = fixes.u.copy()
    u[30] = direction(np.radians(250.0), np.radians(-5.0))
    steps = merge(
        [dataclasses.replace(fixes, u=u)],
        [asked],
    )
    held = np.degrees(great_circle_rad(rivals.raw(steps)[0, steps.asked[0]], truth))
    assert held.max() > 90
    for method in GATED[name]:
        error = np.degrees(great_circle_rad(method(steps)[0, steps.asked[0]], truth))
        assert error[100:].max() < 0.1, (name, error[100:].max())


@pytest.mark.parametrize("name", GATED)
def test_smoothers_gain_on_noisy_swims(name):
    swims = [draw_swim(np.random.default_rng(seed), SCENARIOS["easy"]) for seed in range(10)]
    steps, truth = tracks.steps_and_truth(swims)
    causal, smoother = (np.median(tracks.rms_deg(method(steps), steps, truth)) for method in GATED[name])
    assert smoother < causal


def test_an_outlier_at_the_beginning_is_mended_from_the_end():
    fixes, asked, truth = great_circle_swim()
    u = fixes.u.copy()
    u[0] = direction(np.radians(250.0), np.radians(-5.0))
    steps = merge(
        [dataclasses.replace(fixes, u=u)],
        [asked],
    )
    for name, (_, smoother) in GATED.items():
        assert np.degrees(great_circle_rad(smoother(steps)[0, steps.asked[0]], truth)).max() < 1.0, name


def test_padding_changes_nothing():
    long, asked_long, _ = great_circle_swim()
    short, asked_short, _ = great_circle_swim(length_s=80.0)
    together, alone = merge([long, short], [asked_long, asked_short]), merge([short], [asked_short])
    for name, methods in GATED.items():
        for method in methods:
            at = together.asked[1]
            assert np.allclose(method(together)[1, at], method(alone)[0, alone.asked[0]], atol=1e-9), name


def test_density_in_the_tangent_plane():
    u = np.array([0.0, 0.0, -1.0])
    covariance = np.diag([0.04, 0.09, 7.0])  # what is along u does not count
    density = imm.tangential_density(u, np.linalg.inv(covariance), np.array(0.0))
    assert density == pytest.approx(1 / (2 * np.pi * 0.2 * 0.3))


def test_mixing_keeps_the_mean_and_adds_the_scatter():
    mean = np.zeros((1, 2, 6))
    mean[0, :, 1] = 1.0
    mean[0, 0, 3], mean[0, 1, 3] = 0.0, 0.2
    covariance = np.zeros((1, 2, 6, 6))
    # Where nothing is left of the past, both modes are the average: 0.1, variance 0.1².
    mixed, spread, weight = imm.mix(mean, covariance, np.full((1, 2), 0.5), np.zeros(1))
    assert np.allclose(mixed[0, :, 3], 0.1) and np.allclose(spread[0, :, 3, 3], 0.01) and np.allclose(weight, 0.5)
    kept, spread, _ = imm.mix(mean, covariance, np.full((1, 2), 0.5), np.ones(1))
    assert np.allclose(kept, mean) and np.allclose(spread, 0.0)


def test_transport_along_the_horizon():
    north, axes = np.array([[0.0, 1.0, 0.0]]), np.array([[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    there, carried = grid_bayes.transported(north, axes, np.array([[np.pi / 2, 0.0]]))
    assert np.allclose(there, [[1.0, 0.0, 0.0]])
    assert np.allclose(carried, [[[0.0, -1.0, 0.0], [0.0, 0.0, 1.0]]])


def test_student_is_scipys():
    x = np.linspace(-20, 20, 401)
    assert np.allclose(grid_bayes.student(x, np.array(0.7), 4.0), stats.t.pdf(x, 4.0, scale=0.7), rtol=1e-12)


def test_identity_switches_by_hand():
    source = np.array([0, 0, 1, 0, 1, -1, 1, 0])
    labels = np.array([5, 5, 6, -1, 5, 5, 6, 6])
    # Animal 0: 5 5 (-1) 6, one change; animal 1: 6 5 6, two.
    assert tracks.identity_switches(labels, source) == 3
    assert tracks.identity_switches(source, source) == 0
    # Track 5 holds two of animal 0 and one of 1; track 6 two of 1 and one of 0; one fix of an animal is in none.
    of_animals = source >= 0
    assert tracks.purity(labels[of_animals], source[of_animals]) == pytest.approx(4 / 7)


def test_nearest_neighbour_keeps_two_animals_apart():
    fixes = fixes_at([0, 1, 2, 3, 4, 200], [0.0, 90.0, 1.0, 89.0, 2.0, 2.0])
    labels = rivals.nearest_neighbour(fixes, np.radians(10.0), 60.0)
    # The last comes too late to be known as the first animal.
    assert labels.tolist() == [0, 1, 0, 1, 0, 2]


def test_rms_by_hand():
    steps = merge([fixes_at([0.0], [0.0], elevation_deg=0.0)], [np.array([1.0, 2.0])])
    u = np.tile([0.0, 1.0, 0.0], (1, 3, 1))
    truth = np.stack([u[0, 0], direction(np.radians(3.0), 0.0), direction(np.radians(4.0), 0.0)])[None]
    assert tracks.rms_deg(u, steps, truth) == pytest.approx([np.sqrt((9 + 16) / 2)])


def test_whaledo_error_of_a_rounded_delay():
    """c s / √12 / (√2 a) against the baselines of a regular tetrahedron with edges of 1 m."""
    corners = np.array([[1, 1, -1], [-1, -1, -1], [1, -1, 1], [-1, 1, 1]]) / (2 * np.sqrt(2))
    baselines = np.array([corners[i] - corners[j] for i in range(4) for j in range(i)])
    covariance = (1490.0 * 10e-6) ** 2 / 12 * np.linalg.inv(baselines.T @ baselines)
    assert np.allclose(covariance, tracks.WHALEDO_SD_RAD**2 * EYE)
