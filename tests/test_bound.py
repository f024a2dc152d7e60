"""The Cramér-Rao bound: against closed forms, and against maximum likelihood on arrays that differ from their file."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from whalefinder.array.cramer_rao import bearing_covariance, delay_information
from whalefinder.array.geometry import HydrophoneArray, direction, tangents, tetrahedron

C = 1490.0
U = direction(0.3, -0.4)
SCALENE = np.array([[0.0, 0.0, 0.0], [0.5, 0.1, 0.05], [-0.1, 0.4, -0.2], [0.2, -0.1, 0.45]])
"""Four hydrophones without any symmetry."""


def array(positions=None, **errors):
    positions = tetrahedron(0.5) if positions is None else positions
    return HydrophoneArray(name="t", positions_m=positions, sound_speed_m_s=C, **errors)


def bound(hydrophones, snapshots, snr, noise=None, low=4000.0, high=8000.0, number=400):
    f = low + (high - low) * (np.arange(number) + 0.5) / number
    q = np.tile(np.eye(hydrophones.num_channels), (number, 1, 1)) if noise is None else noise(f)
    information = delay_information(np.full(number, snr * snapshots / number), q, f, hydrophones.delays_s(U))
    return bearing_covariance(hydrophones, U, information)


def test_a_tetrahedron_in_white_noise_in_closed_form():
    """σ = c √2 / (d √κ) with κ = 2 n SNR (2π f_rms)², in both axes."""
    mean_square = (8000.0**3 - 4000.0**3) / 3 / 4000.0
    kappa = 2 * 2000 * 1.0 * (2 * np.pi) ** 2 * mean_square
    closed = C * np.sqrt(2) / (0.5 * np.sqrt(kappa))
    covariance = bound(array(), snapshots=2000, snr=1.0)
    assert np.degrees(closed) == pytest.approx(0.0988, rel=0.03)  # 0.5 m, 4-8 kHz, 0.5 s, 0 dB
    assert np.allclose(covariance, closed**2 * np.eye(2), rtol=1e-4, atol=1e-4 * closed**2)


@pytest.mark.parametrize(
    ("errors", "floor_deg"),
    [
        ({"position_error_m": 0.005}, 2 * 0.005 / 0.5),  # 2 σ_r / d
        ({"timing_error_s": 1e-5}, 2 * C * 1e-5 / 0.5),  # 2 c σ_t / d
        ({"sound_speed_error_m_s": 20.0}, 0.0),  # it stretches all delays of a regular tetrahedron alike
    ],
)
def test_errors_of_the_array_are_a_floor_for_the_loudest_call(errors, floor_deg):
    assert np.sqrt(np.trace(bound(array(**errors), 2000, snr=1e9))) == pytest.approx(floor_deg, abs=1e-5)
    both = np.trace(bound(array(**errors), 2000, 1.0))
    assert both == pytest.approx(np.trace(bound(array(), 2000, 1.0)) + floor_deg**2, rel=1e-3)


def test_a_boat_costs_most_where_it_is():
    def trace(boat):
        def noise(f):
            a = np.exp(-2j * np.pi * f[:, None] * array().delays_s(boat))
            return np.eye(4) + 1e4 * a[:, :, None] * a[:, None].conj()

        return np.trace(bound(array(), 2000, 1.0, noise))

    alone = np.trace(bound(array(), 2000, 1.0))
    # Four hydrophones can remove one direction: a boat of 40 dB elsewhere costs less than a factor of two.
    assert alone < trace(direction(2.0, 0.0)) < 2 * alone
    # At the boat itself no phase reference is left, but where it is weak in the beam the call still counts a little.
    assert trace(direction(0.31, -0.41)) > 2 * alone


def draw(rng, hydrophones, f, snr, q):
    """Spectra of a call at an array whose positions, clocks and sound speed differ from what its file says."""
    positions = hydrophones.positions_m + rng.normal(0, hydrophones.position_error_m, hydrophones.positions_m.shape)
    late = rng.normal(0, hydrophones.timing_error_s, len(positions))
    speed = C + rng.normal(0, hydrophones.sound_speed_error_m_s)
    wave = np.exp(2j * np.pi * f[:, None] * (positions @ U / speed - late))
    s = np.sqrt(snr) * np.exp(2j * np.pi * rng.random((len(f), 1)))
    white = (rng.standard_normal((*wave.shape, 2)) @ [1, 1j]) / np.sqrt(2)
    return s * wave + np.einsum("fmn,fn->fm", np.linalg.cholesky(q), white)


def most_likely(x, hydrophones, f, whitening):
    """Error (level, up) of the direction that, together with the errors of the array, is most likely."""
    axes, count = np.stack(tangents(U)), hydrophones.num_channels
    scale = np.array([*[hydrophones.position_error_m] * 3 * count, *[hydrophones.timing_error_s] * count, 1.0])
    scale[-1] = hydrophones.sound_speed_error_m_s
    y = np.einsum("fmn,fn->fm", whitening, x)

    def residual(unknowns):
        offset, errors = unknowns[:2] / 100, unknowns[2:] * scale
        u = U + offset @ axes
        u /= np.linalg.norm(u)
        positions = hydrophones.positions_m + errors[: 3 * count].reshape(-1, 3)
        phases = positions @ u / (C + errors[-1]) - errors[3 * count : -1]
        b = np.einsum("fmn,fn->fm", whitening, np.exp(2j * np.pi * f[:, None] * phases))
        # The most likely waveform is taken out: what is left is at right angles to b.
        left = y - b * (b.conj() * y).sum(1, keepdims=True) / (abs(b) ** 2).sum(1, keepdims=True)
        return np.concatenate([np.sqrt(2) * left.real.ravel(), np.sqrt(2) * left.imag.ravel(), unknowns[2:]])

    found = least_squares(residual, np.zeros(2 + len(scale)), method="lm", xtol=1e-5, ftol=1e-5)
    return found.x[:2] / 100


def test_the_most_likely_direction_scatters_as_the_bound_says():
    """Positions, clocks, sound speed and a boat, on an array without symmetry, whose noise and errors weigh alike."""
    hydrophones = array(SCALENE, position_error_m=0.003, timing_error_s=2e-6, sound_speed_error_m_s=15.0)
    f, snr, rng = np.linspace(1000.0, 4000.0, 16), 15.0, np.random.default_rng(0)
    boat = np.exp(-2j * np.pi * f[:, None] * hydrophones.delays_s(direction(1.0, 0.0)))
    q = np.eye(4) + 100.0 * boat[:, :, None] * boat[:, None].conj()
    whitening = np.linalg.inv(np.linalg.cholesky(q))
    errors = np.array([most_likely(draw(rng, hydrophones, f, snr, q), hydrophones, f, whitening) for _ in range(120)])
    information = delay_information(np.full(len(f), snr), q, f, hydrophones.delays_s(U))
    covariance = bearing_covariance(hydrophones, U, information)
    # The mean of 240 squares that are 1 if the bound is right: its own standard deviation is 0.09.
    squares = (errors @ np.linalg.inv(covariance) * errors).sum(1) / 2
    assert 0.75 < squares.mean() < 1.3
    # Neither the noise nor the array alone explains the scatter.
    for alone in (
        bearing_covariance(array(SCALENE), U, information),
        bearing_covariance(hydrophones, U, 1e6 * information),
    ):
        assert (errors @ np.linalg.inv(alone) * errors).sum(1).mean() / 2 > 1.4
