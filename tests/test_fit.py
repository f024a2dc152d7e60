"""The wavefront of an event, and the fit of its bearing: faults of one hydrophone, two sounds, arrays in order."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from tests.plane_waves import BEGIN_S, FIVE, RATE, SECONDS, U, by_the_surface, cells_of, heard, made, sweep
from whalefinder.array.geometry import HydrophoneArray, angles, direction, great_circle_rad, tetrahedron
from whalefinder.bearings import steering
from whalefinder.bearings.event_bearing import bearing_of, find_bearing
from whalefinder.bearings.fit import Fit, degrees_of_freedom, goodness_of_fit
from whalefinder.bearings.likelihood import Cells, derivatives, plane_wave_likelihood
from whalefinder.bearings.wavefront import find_wavefront
from whalefinder.calls.events import Event
from whalefinder.calls.masks import Masks
from whalefinder.networks.segmentation import CLASSES
from whalefinder.networks.weights import load_network
from whalefinder.sound import spectrogram


def test_derivatives_are_those_of_the_likelihood():
    cells = cells_of(*heard(made().delays_s(U))).best(200).double()
    delays, gains = np.random.default_rng(1).normal(0, 2e-5, 5), np.array([1.0, 0.7, -1.2, 1.0, 1.1])
    plain = derivatives(cells, delays)
    assert plain.value == pytest.approx(
        float(plane_wave_likelihood(cells, torch.from_numpy(delays[None]))[0]), rel=1e-7
    )
    at, h = derivatives(cells, delays, gains), 1e-8
    for m, step in enumerate(np.eye(5) * h):
        up, down = derivatives(cells, delays + step, gains), derivatives(cells, delays - step, gains)
        assert at.gradient[m] == pytest.approx((up.value - down.value) / (2 * h), rel=1e-4)
        numeric = (up.gradient - down.gradient) / (2 * h)
        assert np.abs(at.second[m] - numeric).max() < 1e-5 * np.abs(at.second).max()


@pytest.mark.parametrize("late_s", [0.0, 1 / RATE, 37.5 / RATE, -0.004])
def test_the_wavefront_gives_back_any_delay(late_s):
    delays = made().delays_s(U) + late_s * np.eye(5)[3]
    wave = find_wavefront(cells_of(*heard(delays)))
    assert np.abs(wave.delays_s - (delays - delays.mean())).max() < 3e-7
    assert np.abs(wave.gains - 1).max() < (0.02 if abs(late_s) < 1e-3 else 0.2)  # a frame of 21 ms holds less of it


def test_the_wavefront_gives_back_gains_and_polarities():
    gains = np.array([1.0, -1.0, 0.3, 1.0, 2.0])
    wave = find_wavefront(cells_of(*heard(made().delays_s(U), gains)))
    assert np.abs(wave.gains / gains - 1).max() < 0.05 and wave.gains_are_clear and not wave.silent().any()


@pytest.mark.parametrize("gain", [0.0, 0.01])
def test_a_hydrophone_that_only_hisses_is_silent(gain):
    wave = find_wavefront(cells_of(*heard(made().delays_s(U), [1, 1, 1, gain, 1])))
    assert list(np.flatnonzero(wave.silent())) == [3]


def fix_and_fit(array: HydrophoneArray, cells: Cells) -> tuple[steering.Fix, Fit]:
    fix = steering.find_direction(cells, array)
    assert fix is not None
    return fix, goodness_of_fit(cells, array, fix.u)


def test_a_call_and_its_image_in_the_surface_fit():
    """250 m away, 8 m deeper than the array: no plane wave fits. The search around one top alone was 0.85° wrong."""
    array, source_m = made(tetrahedron(0.5), depth_m=4.0), np.array([*250 * U[:2], -8.0])
    calls = by_the_surface(sweep, array, source_m)
    cells = cells_of(calls + np.random.default_rng(0).normal(0, 0.05, calls.shape), calls)
    fix, alone = fix_and_fit(array, cells)
    assert math.degrees(great_circle_rad(fix.u, source_m / np.linalg.norm(source_m))) < 0.4
    assert fix.rays is not None and fix.range_m == pytest.approx(float(np.linalg.norm(source_m)), rel=0.2)
    assert alone.p < 0.001 < 0.1 < goodness_of_fit(cells, array, fix.u, fix.rays).p


@pytest.mark.parametrize(
    ("fault", "delays", "gains"),
    [
        ("inverted", np.zeros(5), [1, 1, -1, 1, 1]),
        ("a sample late", np.array([0, 0, 1, 0, 0]) / RATE, None),
        ("five samples late", np.array([0, 5, 0, 0, 0]) / RATE, None),
        ("slipped", np.array([0, 0, 0, 37, 37]) / RATE, None),
    ],
)
def test_a_fault_does_not_fit(fault, delays, gains):
    array = made(position_error_m=1e-3)
    _, fit = fix_and_fit(array, cells_of(*heard(array.delays_s(U) + delays, gains)))
    assert fit.p < 0.01, fault
    assert fit.inflation > 1


def test_hydrophones_that_are_swapped_do_not_fit():
    array = made()
    _, fit = fix_and_fit(array, cells_of(*heard(array.delays_s(U)[[1, 0, 2, 3, 4]])))
    assert fit.p < 1e-4


def test_errors_that_the_array_file_states_fit():
    rng = np.random.default_rng(3)
    true = made(FIVE + rng.normal(0, 5e-3, FIVE.shape))
    cells = cells_of(*heard(true.delays_s(U), snr_db=20.0))
    assert fix_and_fit(made(), cells)[1].p < 1e-4
    fix, fit = fix_and_fit(made(position_error_m=5e-3), cells)
    assert fit.p > 0.01 and fit.inflation == 1.0
    assert great_circle_rad(fix.u, U) < 3 * math.sqrt(np.trace(fix.covariance))


@pytest.mark.parametrize("snr_db", [-5.0, 5.0])
def test_p_is_uniform_for_an_array_in_order(snr_db):
    """Directions, noise and geometry are drawn anew; Kolmogorov and Smirnov compare p with the uniform distribution."""
    rng, values = np.random.default_rng(5), []
    for seed in range(30):
        array = made(rng.uniform(-0.4, 0.4, (5, 3)))
        u = direction(rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(-50, 5)))
        cells = cells_of(*heard(array.delays_s(u), snr_db=snr_db, seed=seed))
        values.append(fix_and_fit(array, cells)[1].p)
    assert stats.kstest(values, "uniform").pvalue > 0.01
    assert np.mean(np.array(values) < 0.01) <= 0.05


def test_degrees_of_freedom():
    assert degrees_of_freedom(made()) == 2 and degrees_of_freedom(made(tetrahedron(0.5))) == 1
    line = np.outer(np.arange(5.0), [0, 1, 0])
    assert degrees_of_freedom(made(line)) == 3 and degrees_of_freedom(made(line[:2])) == 1
    assert degrees_of_freedom(made(FIVE[:3])) == 1


def test_inflation_grows_with_the_misfit():
    _, fit = fix_and_fit(made(), cells_of(*heard(made().delays_s(U))))
    near = replace(fit, p=0.009, statistic=12.0, freedom=2)
    assert replace(near, p=0.011).inflation == 1.0
    assert near.inflation == pytest.approx(math.sqrt(6) * stats.t.ppf(stats.norm.cdf(1), 2))


def bearing(samples: np.ndarray, array: HydrophoneArray):
    """The bearing of the call by the shipped network, with the true extent of the event."""
    network = load_network()
    masks = Masks(
        spectra=spectrogram.stft(torch.from_numpy(samples).float()),
        shares=_shares(samples),
        valid=torch.ones(spectrogram.NUM_BINS, dtype=torch.bool),
    )
    begin, end = (round((BEGIN_S + x) / spectrogram.FRAME_S) for x in (0, SECONDS))
    event = Event(begin=begin, end=end, low_hz=1000.0, high_hz=12_000.0, evidence={"log_area": 7.0, "mean_share": 0.9})
    look = find_bearing(masks, event, array, network, hopeless=-math.inf)
    assert look is not None
    return bearing_of(look, array)


def _shares(samples: np.ndarray) -> torch.Tensor:
    t = np.arange(samples.shape[1]) / RATE
    clean = spectrogram.power(spectrogram.stft(torch.from_numpy(sweep(t - BEGIN_S)[None]).float()))[0]
    all_of_it = spectrogram.power(spectrogram.stft(torch.from_numpy(samples[:1]).float()))[0]
    call = (clean / all_of_it.clamp(min=1e-20)).clamp(0, 1)
    rest = (1 - call) / (len(CLASSES) - 1)
    return torch.stack([call if name == "call" else rest for name in CLASSES])


def error_deg(found) -> float:
    u = direction(math.radians(found.azimuth_deg), math.radians(found.elevation_deg))
    return math.degrees(great_circle_rad(u, U))


def test_a_bearing_carries_its_fit():
    found = bearing(heard(made().delays_s(U))[0], made())
    assert found.fit > 0.01 and found.remark == "" and error_deg(found) < 0.2


@pytest.mark.parametrize("gains", [[1, 1, 1, 0.1, 1], [1, 1, 8.0, 1, 1]])
def test_a_gain_is_seen_through(gains):
    samples, _ = heard(made().delays_s(U), snr_db=15.0)
    found = bearing(samples * np.array(gains)[:, None], made())
    assert error_deg(found) < 0.3 and found.remark == ""


def test_a_hissing_hydrophone_is_left_out():
    found = bearing(heard(made().delays_s(U), [1, 0, 1, 1, 1])[0], made())
    assert error_deg(found) < 0.3 and "channel 2" in found.remark


def test_no_direction_is_given_where_none_explains_the_delays():
    late = np.array([0, 0, 20, 0, 0]) / RATE
    found = bearing(heard(made().delays_s(U) + late, snr_db=15.0)[0], made())
    assert found.azimuth_deg is None and found.elevation_deg is None
    assert found.fit < 1e-4 and "no direction" in found.remark


def test_of_two_mirror_images_the_one_nearer_to_the_horizontal_is_given():
    plane = made(np.array([[0.25, 0.25, -0.2], [-0.25, -0.25, -0.2], [0.25, -0.25, 0.2]]))
    found = bearing(heard(plane.delays_s(U), snr_db=15.0)[0], plane)
    mirror = found.ambiguity
    assert mirror is not None and abs(found.elevation_deg) <= abs(mirror.elevation_deg)
    both = [error_deg(found), error_deg(mirror)]
    assert min(both) < 1.0
    normal = plane.principal_axes()[1][2]
    azimuth, elevation = (np.degrees(x) for x in angles(U - 2 * (U @ normal) * normal))
    if abs(elevation) > 12.0:
        assert both[0] < 1.0 and mirror.azimuth_deg == pytest.approx(azimuth % 360, abs=2.0)
