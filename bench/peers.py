"""Other methods on the same sound. They are given the true begin and end of the call; ours is not.

SRP-PHAT and NormMUSIC are those of pyroomacoustics, on a 2° grid below the horizon. The others are textbook methods in
a few lines: GCC-PHAT with least squares, SRP-PHAT with a gate, and the whitened likelihood with a noise covariance from
sound without the call.
"""

from __future__ import annotations

import numpy as np
import pyroomacoustics as pra
import torch
from torch import Tensor

from whalefinder.array.geometry import (
    Floats,
    HydrophoneArray,
    azimuth_from_anticlockwise_east,
    direction,
    direction_from_tdoa,
    equal_area_grid,
    tangents,
)
from whalefinder.bearings import likelihood, steering
from whalefinder.sound import covariance, spectrogram
from whalefinder.sound.spectrogram import FIRST_BIN, NUM_BINS, RATE_HZ, WINDOW

GRID_STEP_DEG = 2.0
CALL_FREE_S = 2.0
LAG_OVERSAMPLING = 16


def pyroomacoustics_direction(name: str, spectra: Tensor, array: HydrophoneArray) -> Floats:
    """Direction by `SRP` or `NormMUSIC` from the frames of the call. Complex `[channel, frequency, frame]` → `[3]`."""
    azimuth = np.radians(np.arange(0, 360, GRID_STEP_DEG))
    colatitude = np.radians(np.arange(90, 180.1, GRID_STEP_DEG))
    doa = pra.doa.algorithms[name](
        array.positions_m.T,
        RATE_HZ,
        WINDOW,
        c=array.sound_speed_m_s,
        num_src=1,
        dim=3,
        azimuth=azimuth,
        colatitude=colatitude,
    )
    full = np.zeros((array.num_channels, WINDOW // 2 + 1, spectra.shape[-1]), complex)
    full[:, FIRST_BIN : FIRST_BIN + NUM_BINS] = spectra.numpy()
    doa.locate_sources(full, freq_range=[500, 12_000])
    az = azimuth_from_anticlockwise_east(doa.azimuth_recon[0])
    return direction(az, np.pi / 2 - doa.colatitude_recon[0])


def _pairs(array: HydrophoneArray) -> Floats:
    return np.array(np.triu_indices(array.num_channels, 1)).T


def _phat(spectra: Tensor, gate: Tensor, array: HydrophoneArray) -> np.ndarray:
    """Sum over the frames of cross-spectra with phase only, times the gate, complex `[pair, frequency]`."""
    unit = spectra / spectra.abs().clamp(min=1e-12) * gate
    return np.stack([(unit[i] * unit[j].conj()).sum(-1).numpy() for i, j in _pairs(array)])


def gcc_phat(spectra: Tensor, gate: Tensor, array: HydrophoneArray) -> Floats:
    """Direction `[3]` by least squares from the lags of the highest GCC-PHAT value of every pair."""
    lags = []
    size = WINDOW * LAG_OVERSAMPLING
    for (i, j), cross in zip(_pairs(array), _phat(spectra, gate, array), strict=True):
        spectrum = np.zeros(size // 2 + 1, complex)
        spectrum[FIRST_BIN : FIRST_BIN + NUM_BINS] = cross
        correlation = np.fft.irfft(spectrum, size)
        reach = np.linalg.norm(array.positions_m[i] - array.positions_m[j]) / array.sound_speed_m_s
        limit = int(np.ceil(reach * RATE_HZ * LAG_OVERSAMPLING))
        window = np.concatenate([correlation[-limit:], correlation[: limit + 1]])
        lags.append((int(window.argmax()) - limit) / (RATE_HZ * LAG_OVERSAMPLING))
    return direction_from_tdoa(array.positions_m, _pairs(array), np.array(lags))


def _srp_table(array: HydrophoneArray, u: Floats) -> np.ndarray:
    """exp(j2πf (τ_i - τ_j)) for every pair and bin, complex `[direction, pair * frequency]`."""
    delays = array.delays_s(u)
    omega = 2 * np.pi * spectrogram.frequencies_hz().numpy()
    parts = [np.exp(1j * np.multiply.outer(delays[:, i] - delays[:, j], omega)) for i, j in _pairs(array)]
    return np.concatenate(parts, axis=1).astype(np.complex64)


_TABLES: dict[bytes, tuple[Floats, np.ndarray]] = {}


def _srp_grid(key: bytes, array: HydrophoneArray) -> tuple[Floats, np.ndarray]:
    """Grid and table of an array. The last one is kept, since the benchmark needs the same one a hundred times."""
    if key not in _TABLES:
        _TABLES.clear()
        grid = equal_area_grid(np.radians(GRID_STEP_DEG), array.max_elevation_rad())
        _TABLES[key] = grid, _srp_table(array, grid)
    return _TABLES[key]


def srp_phat(spectra: Tensor, gate: Tensor, array: HydrophoneArray) -> Floats:
    """Direction `[3]` by SRP-PHAT with a gate, on an equal-area grid of 2°, then refined."""
    cross = _phat(spectra, gate, array).ravel()

    def score(u: Floats) -> Floats:
        return np.asarray((_srp_table(array, u) @ cross.astype(np.complex64)).real)

    grid, table = _srp_grid(array.positions_m.tobytes(), array)
    best = grid[(table @ cross.astype(np.complex64)).real.argmax()]
    width = np.radians(GRID_STEP_DEG)
    while width > 1e-5:
        level, up = tangents(best)
        offsets = np.stack(np.meshgrid(*[np.linspace(-1, 1, 5)] * 2), axis=-1).reshape(-1, 2) * width
        around = best + offsets[:, :1] * level + offsets[:, 1:] * up
        around /= np.linalg.norm(around, axis=1, keepdims=True)
        best = around[score(around).argmax()]
        width /= 2.5
    return best


def call_free_likelihood(spectra: Tensor, begin: int, end: int, array: HydrophoneArray) -> Floats:
    """Direction `[3]` by the whitened likelihood with one noise covariance, from just before and just after the call.

    This is the strongest classical method, since it is given the exact times without a call.
    """
    reach = round(CALL_FREE_S / spectrogram.FRAME_S)
    free = torch.cat([spectra[..., max(0, begin - reach) : begin], spectra[..., end : end + reach]], dim=-1)
    q = torch.einsum("mft,nft->mnf", free, free.conj()) / free.shape[-1]
    level = torch.diagonal(q, dim1=0, dim2=1).real.mean(-1)
    q = q + covariance.LOADING * level * torch.eye(len(q))[:, :, None]
    cells = -(-spectra.shape[-1] // spectrogram.CELL_FRAMES)
    usual = spectrogram.power(free).mean((0, 2))[:, None]
    loud = spectrogram.power(spectra[..., begin:end]).mean(0)
    share = (1 - usual / loud.clamp(min=spectrogram.FLOOR)).clamp(min=0)  # the classical mask, by power subtraction
    gathered = likelihood.gather_cells(spectra[..., begin:end], share, q[..., None].expand(*q.shape, cells), begin)
    fix = steering.find_direction(gathered, array, surface=False)
    return direction(0.0, 0.0) if fix is None else fix.u
