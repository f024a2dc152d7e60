"""Clips of short sounds: a click in closed form, delayed exactly, in noise of known power."""

import math

import numpy as np
import pytest
import torch

from whalefinder.array.geometry import HydrophoneArray, direction, great_circle_rad, tangents, tetrahedron
from whalefinder.bearings.clip import bound_of_cells, cells_of_clip
from whalefinder.bearings.fit import goodness_of_fit
from whalefinder.bearings.likelihood import Cells
from whalefinder.bearings.steering import MISFIT, find_direction
from whalefinder.bearings.wavefront import find_wavefront
from whalefinder.errors import OptionError

RATE_HZ, SAMPLES, NOISE = 96_000.0, 240, 0.02
ARRAY = HydrophoneArray(name="edge 0.3 m", positions_m=tetrahedron(0.3), sound_speed_m_s=1500.0)
U = direction(math.radians(200.0), math.radians(-25.0))


def click(time_s: np.ndarray) -> np.ndarray:
    """A Gabor pulse of 6 kHz, which is nothing outside 0.4 ms."""
    return np.cos(2 * np.pi * 6000 * time_s) * np.exp(-((time_s / 1.2e-4) ** 2))


def clip_of(u: np.ndarray, rng: np.random.Generator, array: HydrophoneArray = ARRAY) -> np.ndarray:
    t = np.arange(SAMPLES) / RATE_HZ - 1.2e-3
    return np.stack([click(t - d) for d in array.delays_s(u)]) + rng.normal(0, NOISE, (len(array.positions_m), SAMPLES))


def quiet_of(rng: np.random.Generator, pieces: int = 200) -> np.ndarray:
    return rng.normal(0, NOISE, (pieces, 4, 60))


@pytest.fixture(scope="module")
def trials():
    """Cells, fixes and errors (level, up) of 40 clicks from one direction."""
    rng = np.random.default_rng(3)
    quiet = quiet_of(rng)
    cells = [cells_of_clip(clip_of(U, rng), quiet, RATE_HZ) for _ in range(40)]
    fixes = [find_direction(each, ARRAY, surface=False) for each in cells]
    errors = np.array([[fix.u @ axis for axis in tangents(U)] for fix in fixes])
    return cells, fixes, errors


def test_the_bound_is_the_closed_form_of_a_tetrahedron():
    """In white noise J = κ/c² Uᵀ(Σ r̃ r̃ᵀ)U with κ = 2 Σ ω² |S|²/Q, and Σ r̃ r̃ᵀ = d²/2 I for edges d."""
    hz, power, noise = np.array([3000.0, 5000.0, 8000.0]), np.array([2.0, 7.0, 1.0]), 0.5
    cells = Cells(
        frequency_hz=torch.from_numpy(hz),
        inverse=torch.eye(4, dtype=torch.complex128).repeat(3, 1, 1) / noise,
        scatter=torch.zeros(3, 4, 4, dtype=torch.complex128),
        power=torch.from_numpy(power),
        count=torch.ones(3).double(),
        overlap=1.0,
    )
    kappa = 2 * np.sum((2 * np.pi * hz) ** 2 * power / noise)
    expected = (1500.0 / 0.3) ** 2 * 2 / kappa * np.eye(2)
    assert np.allclose(bound_of_cells(cells, ARRAY, U), expected, rtol=1e-9, atol=1e-15)


def test_errors_are_those_of_the_bound_and_stated_errors_are_true(trials):
    cells, fixes, errors = trials
    bound = np.mean([np.trace(bound_of_cells(each, ARRAY, U)) for each in cells])
    true = np.mean(np.sum(errors**2, axis=1))
    # χ² with 80 degrees of freedom, divided by 80: between 0.63 and 1.45 but for one case in a hundred.
    assert 0.63 < true / bound < 1.45
    stated = np.mean([np.trace(fix.covariance) for fix in fixes]) / MISFIT
    assert 0.95 < stated / bound < 1.15  # with overlapping frames it would be twice as large


def test_free_delays_are_found_within_the_clip(trials):
    """Frequencies of a clip of 2.5 ms repeat delays every 2.5 ms; the others are not looked for."""
    cells, _, _ = trials
    expected = ARRAY.delays_s(U) - ARRAY.delays_s(U).mean()
    for each in cells[:10]:
        assert np.abs(find_wavefront(each).delays_s - expected).max() < 3e-6


def test_goodness_of_fit_knows_a_hydrophone_out_of_place(trials):
    cells, fixes, _ = trials
    good = [goodness_of_fit(each, ARRAY, fix.u).p for each, fix in zip(cells[:20], fixes, strict=False)]
    assert 0.2 < np.mean(good) < 0.8
    moved = ARRAY.positions_m + np.array([[0.03, 0.03, 0.0], [0, 0, 0], [0, 0, 0], [0, 0, 0]])
    wrong = HydrophoneArray(name="wrong", positions_m=moved, sound_speed_m_s=1500.0)
    there = find_direction(cells[0], wrong, surface=False)
    assert goodness_of_fit(cells[0], wrong, there.u).p < 0.05


def test_coloured_noise_from_one_direction_is_taken_out():
    """A loud sound from elsewhere, far above the click, is known from the quiet pieces."""
    rng = np.random.default_rng(5)
    boat = direction(math.radians(20.0), 0.0)

    def rumble(samples: int) -> np.ndarray:
        t = np.arange(samples) / RATE_HZ
        tones, phases = rng.uniform(2000, 10_000, 60), rng.uniform(0, 2 * np.pi, 60)
        late = ARRAY.delays_s(boat)[:, None, None]
        waves = np.cos(2 * np.pi * tones[:, None] * (t - late) + phases[:, None])
        return 0.03 * waves.sum(1) + rng.normal(0, NOISE, (4, samples))

    quiet = np.stack([rumble(200) for _ in range(200)])
    clips = [clip_of(U, rng) + rumble(SAMPLES) for _ in range(7)]

    def error_deg(quiet: np.ndarray) -> float:
        found = [find_direction(cells_of_clip(clip, quiet, RATE_HZ), ARRAY, surface=False) for clip in clips]
        return float(np.degrees(np.median([great_circle_rad(fix.u, U) for fix in found])))

    assert error_deg(quiet) < 1.5 < 3.0 < error_deg(quiet_of(rng))


def test_a_clip_of_noise_has_hardly_any_cells_and_no_direction_without_them():
    rng = np.random.default_rng(8)
    quiet = quiet_of(rng)
    noise = cells_of_clip(rng.normal(0, NOISE, (4, SAMPLES)), quiet, RATE_HZ)
    assert len(noise.count) < 6
    silent = cells_of_clip(np.zeros((4, SAMPLES)), quiet, RATE_HZ)
    assert len(silent.count) == 0 and find_direction(silent, ARRAY) is None


def test_quiet_pieces_that_do_not_fit_are_refused():
    rng = np.random.default_rng(1)
    clip = clip_of(U, rng)
    for quiet, words in (
        (quiet_of(rng, 7), "7 quiet pieces"),
        (rng.normal(size=(20, 3, 60)), "3 channels"),
        (rng.normal(size=(20, 4, SAMPLES + 1)), "241 samples"),
    ):
        with pytest.raises(OptionError, match=words):
            cells_of_clip(clip, quiet, RATE_HZ)
