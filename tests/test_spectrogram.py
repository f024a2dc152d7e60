"""Spectra and planes: against scipy, numpy, and themselves by another route."""

import numpy as np
import scipy.signal
import torch

from tests.helpers import noise
from whalefinder.sound import covariance, features
from whalefinder.sound import spectrogram as sp


def spectra(channels=4, seconds=2.0, seed=0):
    return sp.stft(torch.from_numpy(noise(channels, seconds, seed=seed).T.copy()).float())


def test_stft_against_scipy():
    samples = noise(1, 1.0).T
    ours = sp.stft(torch.from_numpy(samples.copy()))[0].numpy()
    transform = scipy.signal.ShortTimeFFT(np.hanning(sp.WINDOW + 1)[:-1], sp.HOP, sp.RATE_HZ)
    theirs = transform.stft(samples[0], p0=0, p1=ours.shape[1], padding="zeros")
    theirs = theirs[sp.FIRST_BIN : sp.FIRST_BIN + sp.NUM_BINS] / np.sqrt(
        sp.WINDOW * (np.hanning(sp.WINDOW + 1)[:-1] ** 2).sum()
    )
    assert np.allclose(np.abs(ours), np.abs(theirs), atol=1e-9)


def test_white_noise_has_its_mean_square_in_the_bins():
    # 513 one-sided bins, all but two counted twice, add up to the mean square 1e-4.
    level = sp.power(spectra(1, 20.0)).mean().item() * 1024
    assert abs(level / 1e-4 - 1) < 0.02


def test_whitened_power_against_solved_systems():
    for channels in (1, 4, 6):
        x = spectra(channels)
        planes = covariance.whitened_powers(covariance.in_cells(covariance.pair_planes(x)), x.shape[-1])
        for plane, e_folding in zip(planes, (covariance.SHORT_CELLS, covariance.LONG_CELLS), strict=True):
            q = covariance.noise_covariance(x, None, e_folding, gap_cells=covariance.GAP_CELLS)
            for k, t in ((0, 0), (100, 77), (255, 150)):
                v, matrix = x[:, k, t].numpy(), q[:, :, k, t // sp.CELL_FRAMES].numpy()
                expected = (v.conj() @ np.linalg.solve(matrix, v)).real / channels
                assert abs(plane[k, t].item() / expected - 1) < 1e-3


def test_hermitian_planes_and_their_inverse_against_numpy():
    x = spectra(3)
    q = covariance.hermitian(covariance.pair_planes(x))
    v = x[:, 9, 9].numpy()
    assert np.allclose(q[:, :, 9, 9].numpy(), np.outer(v, v.conj()))
    q = covariance.noise_covariance(x, None, covariance.LONG_CELLS)
    planes = torch.cat(
        [torch.diagonal(q, dim1=0, dim2=1).real.permute(2, 0, 1)]
        + [torch.stack([part(q[m, n]) for m in range(3) for n in range(m)]) for part in (torch.real, torch.imag)]
    )
    inverse = covariance.hermitian(covariance.inverse(planes))
    assert np.allclose(inverse[:, :, 20, 5].numpy() @ q[:, :, 20, 5].numpy(), np.eye(3), atol=1e-3)


def test_covariance_against_a_loop():
    x = spectra(2, 10.0)  # longer than one block of the smoothing
    weight = torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(0))
    q = covariance.noise_covariance(x, weight, 1.5, gap_cells=1, loading=0.0)
    k, cell = 17, 97
    total, norm = np.zeros((2, 2), complex), 0.0
    for t in range(x.shape[-1]):
        distance = abs(t // sp.CELL_FRAMES - cell)
        w = float(weight[k, t]) * np.exp(-distance / 1.5) * (distance >= 1)
        v = x[:, k, t].numpy()
        total += w * np.outer(v, v.conj())
        norm += w
    assert np.allclose(q[:, :, k, cell].numpy(), total / norm, rtol=1e-3, atol=1e-12)


def test_planes_do_not_know_gain_or_the_order_of_hydrophones():
    x = spectra()
    planes = features.segmenter_planes(x)
    assert planes.shape == (len(features.FEATURES), sp.NUM_BINS, x.shape[-1])
    assert torch.allclose(features.segmenter_planes(x * 300.0), planes, atol=1e-3)
    assert torch.allclose(features.segmenter_planes(x[[2, 0, 3, 1]]), planes, atol=1e-3)


def test_noise_from_a_fixed_direction_is_nulled_and_a_newcomer_stands_out():
    generator = torch.Generator().manual_seed(3)
    boat = torch.randn(sp.NUM_BINS, 160, dtype=torch.complex64, generator=generator)
    x = 0.1 * torch.randn(4, sp.NUM_BINS, 160, dtype=torch.complex64, generator=generator)
    steering = torch.polar(torch.ones(2, 4), 6.28 * torch.rand(2, 4, generator=generator))
    x = x + 3 * steering[0][:, None, None] * boat
    x[:, 100, 80:83] += steering[1][:, None]  # 10 dB below the boat
    planes = features.segmenter_planes(x)
    around = planes[features.FEATURES.index("whitened_short")]
    assert around[100, 81] > around[:, :70].mean() + 5 * around[:, :70].std()
    contrast = planes[features.FEATURES.index("contrast")]
    assert contrast[100, 81] < contrast[:, :70].mean() + 3 * contrast[:, :70].std()


def test_dead_bins_are_zero_and_do_not_move_the_rest():
    x = spectra(1, 1.0)
    valid = torch.arange(sp.NUM_BINS) < 150
    dead = torch.where(valid[:, None], x, x * 1e-6)
    deader = torch.where(valid[:, None], x, torch.zeros_like(x))
    a, b = features.segmenter_planes(dead, valid), features.segmenter_planes(deader, valid)
    assert torch.equal(a, b) and (a[:, 150:] == 0).all()


def test_moving_mean_against_a_loop():
    x = torch.rand(3, 40, generator=torch.Generator().manual_seed(1))
    ours = features.moving_mean(x, 6)
    for t in (0, 3, 20, 39):
        assert torch.allclose(ours[:, t], x[:, max(0, t - 6) : t + 7].mean(-1), atol=1e-5)
