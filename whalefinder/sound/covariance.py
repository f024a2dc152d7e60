"""The covariance of the noise between hydrophones, followed over time, and the whitening of spectra by it.

Matrices are kept as real planes (`pair_planes`), so that sums over hydrophones are sums of products.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from whalefinder.sound.spectrogram import CELL_FRAMES, FLOOR, power

SHORT_CELLS, LONG_CELLS = 1.5, 6.0  # e-folding of the covariance: 0.13 s follows boats, 0.5 s is steadier
GAP_CELLS = 2  # the covariance leaves out cells nearer than this, so that a call does not remove itself
LOADING = 0.002  # share of the mean power added to the diagonal of a covariance of up to 4 hydrophones
SMOOTH_BLOCK = 96  # cells of one matrix product; the window is cut at 8 e-foldings (0.03 %)


def pair_planes(spectra: Tensor) -> Tensor:
    """The Hermitian matrix x xᴴ of every bin as real planes: |x_m|², then Re and then Im of x_m x_n* for m > n.

    Real planes let a sum over a matrix be a sum of products, several times faster than complex arithmetic.

    Shape:
        complex `[..., channel, frequency, frame]` → `[..., channel², frequency, frame]`.
    """
    re, im = spectra.real.contiguous().unbind(-3), spectra.imag.contiguous().unbind(-3)
    pairs = _pairs(len(re))
    planes = re[0].new_empty(*spectra.shape[:-3], len(re) ** 2, *spectra.shape[-2:])
    out = planes.unbind(-3)
    for plane, a, b in zip(out, re, im, strict=False):
        torch.mul(a, a, out=plane).addcmul_(b, b)
    for (m, n), real, imaginary in zip(pairs, out[len(re) :], out[len(re) + len(pairs) :], strict=False):
        torch.mul(re[m], re[n], out=real).addcmul_(im[m], im[n])
        torch.mul(im[m], re[n], out=imaginary).addcmul_(re[m], im[n], value=-1.0)
    return planes


def _pairs(channels: int) -> list[tuple[int, int]]:
    return [(m, n) for m in range(channels) for n in range(m)]


def hermitian(planes: Tensor) -> Tensor:
    """`pair_planes` back to complex matrices. `[..., channel², frequency, cell]` → `[..., channel, channel, ...]`."""
    rows = _lower_rows(planes)
    full = [
        torch.stack([rows[m][n] if n <= m else rows[n][m].conj() for n in range(len(rows))], -3)
        for m in range(len(rows))
    ]
    return torch.stack(full, dim=-4)


def _lower_rows(planes: Tensor) -> list[list[Tensor]]:
    channels = math.isqrt(planes.shape[-3])
    parts, pairs = planes.unbind(-3), _pairs(channels)
    rows: list[list[Tensor]] = [[] for _ in range(channels)]
    for (m, _), re, im in zip(pairs, parts[channels:], parts[channels + len(pairs) :], strict=False):
        rows[m].append(torch.complex(re, im))
    return [[*row, torch.complex(own, torch.zeros_like(own))] for row, own in zip(rows, parts, strict=False)]


def in_cells(x: Tensor) -> Tensor:
    """Frames in groups; the last group is filled up with zeros. `[..., frame]` → `[..., cell, CELL_FRAMES]`."""
    short = -x.shape[-1] % CELL_FRAMES
    return (torch.nn.functional.pad(x, (0, short)) if short else x).unflatten(-1, (-1, CELL_FRAMES))


def smooth_over_cells(x: Tensor, e_folding_cells: float, gap_cells: int = 0) -> Tensor:
    """Sum over the last axis (cells) with weights that fall exponentially on both sides. Same shape, real.

    Cells at a distance below `gap_cells` have no weight: 1 leaves out the cell itself, 2 its two neighbours too.
    """
    reach = math.ceil(8 * e_folding_cells)
    blocks = []
    for begin in range(0, x.shape[-1], SMOOTH_BLOCK):
        end = min(x.shape[-1], begin + SMOOTH_BLOCK)
        low, high = max(0, begin - reach), min(x.shape[-1], end + reach)
        kernel = _exponential(begin - low, end - begin, high - end, e_folding_cells, gap_cells)
        blocks.append(x[..., low:high] @ kernel.to(x))
    return torch.cat(blocks, dim=-1)


@lru_cache(maxsize=64)
def _exponential(before: int, cells: int, after: int, e_folding_cells: float, gap_cells: int) -> Tensor:
    # Made outside inference mode, since training may use the cached tensor later.
    with torch.inference_mode(False):
        distance = (torch.arange(-before, cells + after)[:, None] - torch.arange(cells)).abs()
        return torch.exp(-distance / e_folding_cells) * (distance >= gap_cells)


def noise_covariance(
    spectra: Tensor, weight: Tensor | None, e_folding_cells: float, *, gap_cells: int = 0, loading: float = LOADING
) -> Tensor:
    """Noise covariance of every cell of `CELL_FRAMES` frames, followed over time.

    Q = Σ w x xᴴ / Σ w over a window that falls exponentially on both sides. A share `loading` of the mean power
    is added to the diagonal, so that Q can be inverted with few frames; more hydrophones need more loading.
    Loading also limits how well a boat can be removed, so it is small.

    Args:
        spectra: complex x `[..., channel, frequency, frame]`.
        weight: w `[..., frequency, frame]`, or None for 1.
        e_folding_cells: distance in cells at which the window has fallen to 1 / e.
        gap_cells: cells at a smaller distance than this are left out.
        loading: share of the mean power, for up to 4 hydrophones.

    Shape:
        → complex `[..., channel, channel, frequency, cell]`.
    """
    weight = torch.ones_like(spectra[..., 0, :, :].real) if weight is None else weight
    weighted = in_cells(pair_planes(spectra) * weight.unsqueeze(-3)).sum(-1)
    return hermitian(_smoothed(weighted, in_cells(weight).sum(-1), e_folding_cells, gap_cells, loading))


def _smoothed(products: Tensor, total: Tensor, e_folding_cells: float, gap_cells: int, loading: float) -> Tensor:
    """Covariance as planes `[..., channel², frequency, cell]`, from the weighted sums and the weight of each cell."""
    total = smooth_over_cells(total, e_folding_cells, gap_cells) + 1e-6
    q = smooth_over_cells(products, e_folding_cells, gap_cells) / total.unsqueeze(-3)
    channels = math.isqrt(q.shape[-3])
    own = q[..., :channels, :, :]
    own += loading * max(1.0, channels / 4) ** 2 * (own.mean(-3, keepdim=True) + FLOOR)
    return q


def inverse(planes: Tensor) -> Tensor:
    """Q⁻¹ of covariances, both as planes `[..., channel², frequency, cell]`.

    By Cholesky: Q = L Lᴴ, Q⁻¹ = L⁻ᴴ L⁻¹. The loops run over the few channels, and each step works on all bins at
    once. LAPACK would factorise one 4 x 4 matrix after the other, which is several times slower.
    """
    q = _lower_rows(planes)
    channels = len(q)
    lower: list[list[Tensor]] = []  # below the diagonal
    scale: list[Tensor] = []  # 1 / diagonal of L, real
    for m in range(channels):
        row: list[Tensor] = []
        for n in range(m):
            row.append((q[m][n] - _inner(row[:n], lower[n])) * scale[n])
        lower.append(row)
        scale.append((q[m][m].real - sum(power(value) for value in row)).clamp(min=FLOOR).rsqrt())
    # Forward substitution of the unit vectors: rows of L⁻¹ below the diagonal.
    back: list[list[Tensor]] = []
    for m in range(channels):
        row = []
        for n in range(m):
            row.append(-scale[m] * (lower[m][n] * scale[n] + sum(lower[m][k] * back[k][n] for k in range(n + 1, m))))
        back.append(row)
    own = [scale[m].square() + sum(power(back[k][m]) for k in range(m + 1, channels)) for m in range(channels)]
    across = [
        scale[m] * back[m][n] + sum(back[k][m].conj() * back[k][n] for k in range(m + 1, channels))
        for m, n in _pairs(channels)
    ]
    return torch.stack([*own, *(value.real for value in across), *(value.imag for value in across)], dim=-3)


def _inner(a: list[Tensor], b: list[Tensor]) -> Tensor | int:
    return sum(x * y.conj() for x, y in zip(a, b, strict=True))


def quadratic(products: Tensor, matrix: Tensor) -> Tensor:
    """xᴴ K x of every bin, from the planes of x xᴴ (frames in cells) and the planes of K (one matrix a cell).

    xᴴ K x = Σ_m K_mm |x_m|² + 2 Σ_{m>n} Re[K_mn (x_m x_n*)*], a sum of products of planes.

    Shape:
        `[..., plane, frequency, cell, CELL_FRAMES]`, `[..., plane, frequency, cell]` → `[..., frequency, cell, CELL_FRAMES]`.
    """
    channels = math.isqrt(matrix.shape[-3])
    factors = matrix.unsqueeze(-1).unbind(-4)
    total = torch.zeros_like(products[..., 0, :, :, :])
    for index, (product, factor) in enumerate(zip(products.unbind(-4), factors, strict=True)):
        total = total.addcmul_(product, factor, value=1.0 if index < channels else 2.0)
    return total


def whitened_powers(products: Tensor, frames: int) -> list[Tensor]:
    """Whitened power xᴴQ⁻¹x / channels, once with Q from a short and once from a long time before and after.

    The value is about 1 for the usual noise and large for a sound from a new direction. So a boat that was there
    before is removed, and a call is not. With one channel it is the power relative to its own local mean, so a single
    hydrophone works too.

    Args:
        products: `pair_planes` in cells, `[..., channel², frequency, cell, CELL_FRAMES]`.
        frames: number of frames. The rest of the last cell is zeros.

    Shape:
        → two tensors `[..., frequency, frame]`: short, long.
    """
    channels = math.isqrt(products.shape[-4])
    total = in_cells(torch.ones(1, frames, device=products.device)).sum(-1)
    summed = products.sum(-1)
    matrices = [inverse(_smoothed(summed, total, e, GAP_CELLS, LOADING)) for e in (SHORT_CELLS, LONG_CELLS)]
    return [quadratic(products, matrix).flatten(-2)[..., :frames] / channels for matrix in matrices]
