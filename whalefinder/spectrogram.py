"""Short-time spectra of an array, and the planes that the segmentation network sees.

All constants of the analysis are here. Spectra are complex `[channel, frequency, frame]` tensors (any
leading batch dimensions), time last, in the units of the samples.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

RATE_HZ = 48_000
WINDOW = 1024  # 21.3 ms
HOP = 512  # 10.7 ms
FIRST_BIN = 8  # 375 Hz
NUM_BINS = 256  # up to 12.3 kHz
BIN_HZ = RATE_HZ / WINDOW  # 46.875 Hz
FRAME_S = HOP / RATE_HZ
CELL_FRAMES = 8  # frames that share one noise covariance: 85 ms
LEVEL_FRAMES = 188  # half width of the level normalisation: 2 s
SHORT_CELLS, LONG_CELLS = 1.5, 6.0  # e-folding of the covariance: 0.13 s follows boats, 0.5 s is steadier
GAP_CELLS = 2  # what is nearer than this does not count as usual, so that a call does not null itself
LOADING = 0.002  # share of the mean power added to the diagonal of a covariance of up to 4 hydrophones
FEATURES = ("contrast", "level", "whitened_short", "whitened_long")
FLOOR = 1e-20


def frequencies_hz() -> Tensor:
    """Centre of every analysed bin, `[frequency]` Hz."""
    return (torch.arange(NUM_BINS) + FIRST_BIN) * BIN_HZ


def power(x: Tensor) -> Tensor:
    """|x|² of a complex tensor; `abs().square()` takes a square root in vain and is 5 times slower."""
    return x.real.square() + x.imag.square()


def stft(samples: Tensor) -> Tensor:
    """Hann-windowed spectra, scaled so that |x|² is a mean square per bin.

    Args:
        samples: `[..., channel, time]` at `RATE_HZ`.

    Shape:
        → complex `[..., channel, NUM_BINS, frame]`, frame t centred on sample t · `HOP`; both ends are
        padded with zeros.
    """
    window = torch.hann_window(WINDOW, dtype=samples.dtype, device=samples.device)
    flat = samples.reshape(-1, samples.shape[-1])
    spectra = torch.stft(flat, WINDOW, HOP, window=window, center=True, pad_mode="constant", return_complex=True)
    spectra = spectra[:, FIRST_BIN : FIRST_BIN + NUM_BINS] / math.sqrt(WINDOW * float((window**2).sum()))
    return spectra.reshape(*samples.shape[:-1], NUM_BINS, -1)


def moving_mean(x: Tensor, half_width: int) -> Tensor:
    """Mean over the last axis within ± `half_width`, shorter at the ends. Same shape."""
    frames = x.shape[-1]
    total = torch.nn.functional.pad(x.double().cumsum(-1), (1, 0))
    index = torch.arange(frames, device=x.device)
    begin, end = (index - half_width).clamp(min=0), (index + half_width + 1).clamp(max=frames)
    return ((total[..., end] - total[..., begin]) / (end - begin)).to(x.dtype)


def cell_outer_products(spectra: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Weighted sums of x xᴴ over cells of `CELL_FRAMES` frames.

    Args:
        spectra: complex `[..., channel, frequency, frame]`.
        weight: `[..., frequency, frame]`, or None for 1.

    Shape:
        → `[..., channel, channel, frequency, cell]` and the summed weight `[..., frequency, cell]`.
    """
    if weight is None:
        weight = torch.ones_like(spectra[..., 0, :, :].real)
    short = -spectra.shape[-1] % CELL_FRAMES
    spectra = torch.nn.functional.pad(spectra, (0, short)).unflatten(-1, (-1, CELL_FRAMES))
    weight = torch.nn.functional.pad(weight, (0, short)).unflatten(-1, (-1, CELL_FRAMES))
    weighted = spectra * weight.unsqueeze(-4)
    # One pair of channels at a time: the full outer product before the sum would be CELL_FRAMES times larger.
    channels = spectra.shape[-4]
    rows = []
    for m in range(channels):
        row = [(weighted[..., m, :, :, :] * spectra[..., n, :, :, :].conj()).sum(-1) for n in range(m + 1)]
        rows.append(row)
    full = [
        torch.stack([rows[m][n] if n <= m else rows[n][m].conj() for n in range(channels)], dim=-3)
        for m in range(channels)
    ]
    return torch.stack(full, dim=-4), weight.sum(-1)


SMOOTH_BLOCK = 96  # cells of one matrix product; the window is cut at 8 e-foldings (0.03 %)


def smooth_over_cells(x: Tensor, e_folding_cells: float, gap_cells: int = 0) -> Tensor:
    """Two-sided exponential sum over the last axis (cells), without the `gap_cells` nearest on either side."""
    reach = math.ceil(8 * e_folding_cells)
    blocks = []
    for begin in range(0, x.shape[-1], SMOOTH_BLOCK):
        end = min(x.shape[-1], begin + SMOOTH_BLOCK)
        low, high = max(0, begin - reach), min(x.shape[-1], end + reach)
        index = torch.arange(low, high, device=x.device, dtype=torch.float32)
        distance = (index[:, None] - index[None, begin - low : end - low]).abs()
        kernel = torch.exp(-distance / e_folding_cells) * (distance >= gap_cells)
        near = x[..., low:high]
        blocks.append(torch.complex(near.real @ kernel, near.imag @ kernel) if x.is_complex() else near @ kernel)
    return torch.cat(blocks, dim=-1)


def covariance(
    spectra: Tensor, weight: Tensor | None, e_folding_cells: float, *, gap_cells: int = 0, loading: float = LOADING
) -> Tensor:
    """Noise covariance of every cell, followed over time.

    Q = Σ w x xᴴ / Σ w over a two-sided exponential window (without its middle, where `gap_cells` > 0), plus
    `loading` of the mean power on the diagonal, so that it can be inverted with few frames; the more
    hydrophones, the more loading. It also limits how deep a boat can be nulled, so it is small.

    Shape:
        complex `[..., channel, frequency, frame]` → `[..., channel, channel, frequency, cell]`.
    """
    return _smoothed(*cell_outer_products(spectra, weight), e_folding_cells, gap_cells, loading)


def _smoothed(products: Tensor, total: Tensor, e_folding_cells: float, gap_cells: int, loading: float) -> Tensor:
    q = smooth_over_cells(products, e_folding_cells, gap_cells)
    total = smooth_over_cells(total, e_folding_cells, gap_cells) + 1e-6
    q = q / total[..., None, None, :, :]
    level = torch.diagonal(q, dim1=-4, dim2=-3).real.mean(-1) + FLOOR
    channels = q.shape[-3]
    eye = torch.eye(channels, device=q.device)[:, :, None, None]
    loading = loading * max(1.0, channels / 4) ** 2
    return q + (loading * level)[..., None, None, :, :] * eye


def cholesky(q: Tensor) -> list[list[Tensor]]:
    """Lower triangle L of Q = L Lᴴ as a list of rows of `[..., frequency, cell]` tensors.

    Written out over the few channels, each step vectorised over all bins: many 4 x 4 factorisations
    through LAPACK one by one are several times slower.
    """
    channels = q.shape[-3]
    lower: list[list[Tensor]] = []
    for m in range(channels):
        row: list[Tensor] = []
        for n in range(m + 1):
            value = q[..., m, n, :, :]
            for k in range(n):
                value = value - row[k] * (lower[n][k] if n < m else row[k]).conj()
            if n < m:
                row.append(value / lower[n][n])
            else:
                row.append(value.real.clamp(min=FLOOR).sqrt().to(q.dtype))
        lower.append(row)
    return lower


def whiten(spectra: Tensor, lower: list[list[Tensor]]) -> Tensor:
    """Whitened spectra z = L⁻¹ x by forward substitution, so that zᴴz = xᴴQ⁻¹x. Same shape as `spectra`."""
    frames = spectra.shape[-1]
    padded = torch.nn.functional.pad(spectra, (0, -frames % CELL_FRAMES)).unflatten(-1, (-1, CELL_FRAMES))
    z: list[Tensor] = []
    for m, row in enumerate(lower):
        value = padded[..., m, :, :, :]
        for k in range(m):
            value = value - row[k].unsqueeze(-1) * z[k]
        z.append(value / row[m].unsqueeze(-1))
    return torch.stack(z, dim=-4).flatten(-2)[..., :frames]


def whitened_powers(spectra: Tensor) -> list[Tensor]:
    """xᴴQ⁻¹x / channels for Q from a short and from a long time before and after.

    About 1 for noise as usual, large for a sound from a new direction: a boat that was there before is
    nulled, a call is not. With one channel it is the power relative to its own local mean, so a single
    hydrophone works alike.

    Shape:
        `[..., channel, frequency, frame]` → two of `[..., frequency, frame]`.
    """
    products, total = cell_outer_products(spectra)
    planes = []
    for e_folding in (SHORT_CELLS, LONG_CELLS):
        q = _smoothed(products, total, e_folding, GAP_CELLS, LOADING)
        planes.append(power(whiten(spectra, cholesky(q))).mean(-3))
    return planes


def features(spectra: Tensor, valid: Tensor | None = None) -> Tensor:
    """The planes of `FEATURES`, independent of gain, array and number of hydrophones.

    Args:
        spectra: complex `[..., channel, frequency, frame]`.
        valid: `[..., frequency]` bool, False above what a slower recorder could hold: zero in every plane.

    Shape:
        → `[..., plane, frequency, frame]`; frame t depends on no frame further away than the covariance
        windows and ± `LEVEL_FRAMES`.
    """
    level = (power(spectra).mean(-3) + FLOOR).log()
    usual = moving_mean(level, LEVEL_FRAMES)
    alive = torch.ones_like(usual[..., :1]) if valid is None else valid[..., None].to(usual.dtype)
    overall = (usual * alive).sum(-2, keepdim=True) / alive.sum(-2, keepdim=True).clamp(min=1.0)
    planes = [level - usual, level - overall]
    planes += [(whitened + 1e-6).log() for whitened in whitened_powers(spectra)]
    return (torch.stack(planes, dim=-3) / 2.0).clamp(-5.0, 5.0) * alive.unsqueeze(-3)
