"""A network that gives the direction of a call directly from its sound: William of the paper (docs/paper.md, 3).

    bins of a call → correlation of every pair over path differences → convolutions → LSTM over cells
    → azimuth, elevation

The first step is fixed. The cross-spectrum x_m x_n* of a plane wave changes its phase with frequency as
exp(-j2πf (τ_m - τ_n)). So its inverse Fourier transform over frequency has a peak at the path difference c (τ_m - τ_n).
In metres, the path difference does not depend on the sound speed. The network learns which path differences belong to
which direction, so it can only be used with the array that it was trained for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from whalefinder.errors import OptionError
from whalefinder.networks.lstm import LSTM
from whalefinder.networks.sizes import check_sizes
from whalefinder.sound import spectrogram
from whalefinder.sound.spectrogram import CELL_FRAMES, FLOOR

GATE = 0.2  # bins with a smaller call share are not used: they say nothing about the direction of the call
MAX_CELLS = 12  # cells of 8 frames, together 1 s; longer events have as many cells, but wider ones
BAND_EDGES_HZ = (0.0, 2500.0, 6000.0, math.inf)  # low bands give one broad peak, high bands several sharp peaks
REACH = 1.1  # path differences up to this many times the largest distance of two hydrophones


@dataclass(frozen=True)
class CallBins:
    """The bins of an event that hold call: the only input of the network.

    Shape:
        `x`: complex `[bin, channel]`; `share`, `frequency` (index), `cell` (index): `[bin]`.
    """

    x: Tensor
    share: Tensor
    frequency: Tensor
    cell: Tensor

    @classmethod
    def of(cls, spectra: Tensor, share: Tensor) -> CallBins:
        """The bins of one event, from spectra `[channel, frequency, frame]` and call share `[frequency, frame]`."""
        frequency, frame = (share >= GATE).nonzero(as_tuple=True)
        cell = frame // max(CELL_FRAMES, -(-share.shape[-1] // MAX_CELLS))
        return cls(spectra[:, frequency, frame].T, share[frequency, frame], frequency, cell)


def features(bins: CallBins, batch: int, reach_m: float, num_paths: int, sound_speed_m_s: float) -> Tensor:
    """Correlation of every pair of hydrophones in each band, summed from the begin of the event to each cell.

    The result does not depend on gain. Cells are summed here, because the sum of the correlations has one clear peak
    where single cells have many. Otherwise the LSTM would have to learn to add. Empty cells at the end change nothing.

    Args:
        bins: bins of all events of the batch. `cell` counts through the batch, with `MAX_CELLS` for each event.
        batch: number of events.
        reach_m: path differences go from -reach to +reach, metres.
        num_paths: number of path differences.
        sound_speed_m_s: metres per second.

    Shape:
        → `[batch, plane, path difference, MAX_CELLS]`. The planes are: every pair in each band, every pair over all
        bands, and the log weight of each band.
    """
    cells = batch * MAX_CELLS
    place = bins.cell * spectrogram.NUM_BINS + bins.frequency
    # A bin of call share r holds 1 - r of other sound. By squared weights few good bins count more than many poor ones.
    counted = bins.share.square()
    weight = bins.share.new_zeros(cells * spectrogram.NUM_BINS).index_add_(0, place, counted)
    weight = weight.view(batch, MAX_CELLS, -1).cumsum(1)
    m, n = pair_indices(bins.x.shape[1])
    across = bins.x[:, m] * bins.x[:, n].conj() * (counted / (spectrogram.power(bins.x).mean(1) + FLOOR))[:, None]
    summed = torch.zeros(cells * spectrogram.NUM_BINS, len(m), dtype=across.dtype).index_add_(0, place, across)
    summed = summed.view(batch, MAX_CELLS, spectrogram.NUM_BINS, len(m)).cumsum(1)
    hz = spectrogram.frequencies_hz()
    # exp(+j2πf d / c) turns the cross-spectrum of a path difference d back to 1.
    angle = 2 * math.pi / sound_speed_m_s * hz[:, None] * torch.linspace(-reach_m, reach_m, num_paths)
    back = spectrogram.phasor(angle)
    planes, weights = [], []
    for low, high in pairwise(BAND_EDGES_HZ):
        band = (hz >= low) & (hz < high)
        planes.append(torch.einsum("btfp,fd->bptd", summed[:, :, band], back[band]).real)
        weights.append(weight[:, :, band].sum(-1)[:, None])
    planes.append(torch.stack(planes).sum(0))
    weights.append(torch.stack(weights).sum(0))
    scaled = [plane / (total[..., None] + 1.0) for plane, total in zip(planes, weights, strict=True)]
    loudness = [((total + 0.1).log() / 4)[..., None].expand(-1, -1, -1, num_paths) for total in weights[:-1]]
    return torch.cat([*scaled, *loudness], dim=1).transpose(2, 3)


def pair_indices(channels: int) -> tuple[Tensor, Tensor]:
    """Indices m and n of the hydrophones of every pair, m > n, `[pair]` each."""
    m, n = torch.tril_indices(channels, channels, -1)
    return m, n


class Regressor(nn.Module):
    """Network from the planes of `features` to one azimuth node and one elevation node.

    Args:
        num_channels: number of hydrophones of its array.
        reach_m: largest path difference of the features, metres.
        num_paths: number of path differences, a multiple of 4.
        hidden: size of the LSTM.

    Raises:
        OptionError: a size out of range.

    Shape:
        `[batch, plane, path difference, cell]` → two `(batch, 1)`: azimuth / 360° modulo 1, (elevation + 90°) / 180°.
    """

    def __init__(self, num_channels: int, reach_m: float, num_paths: int = 64, hidden: int = 128) -> None:
        super().__init__()
        check_sizes(num_channels=num_channels, num_paths=num_paths, hidden=hidden)
        if num_channels < 2 or num_paths < 4 or not reach_m > 0:
            raise OptionError(
                f"num_channels {num_channels}, num_paths {num_paths}, reach_m {reach_m:g}: a regressor needs 2 hydrophones, "
                "4 paths and a reach above 0 at least"
            )
        self.config: dict[str, Any] = {
            "num_channels": num_channels,
            "reach_m": reach_m,
            "num_paths": num_paths,
            "hidden": hidden,
        }
        bands = len(BAND_EDGES_HZ) - 1
        planes = (bands + 1) * num_channels * (num_channels - 1) // 2 + bands
        self.convolutions = nn.Sequential(
            nn.Conv2d(planes, 32, (5, 3), stride=(2, 1), padding=(2, 1)),
            nn.ReLU(),
            nn.Conv2d(32, 48, (5, 1), stride=(2, 1), padding=(2, 0)),
            nn.ReLU(),
        )
        self.dense = nn.Linear(48 * num_paths // 4, 192)
        self.lstm = LSTM(192, hidden, constant=True)
        self.azimuth = nn.Linear(hidden, 1)
        self.elevation = nn.Linear(hidden, 1)

    def features(self, bins: CallBins, batch: int, sound_speed_m_s: float) -> Tensor:
        """The planes that this network was built for (see `features`)."""
        return features(bins, batch, self.config["reach_m"], self.config["num_paths"], sound_speed_m_s)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Planes to the two nodes `[batch, 1]` each, computed from the last state of the LSTM."""
        x = self.convolutions(planes).flatten(1, 2).transpose(1, 2)  # [batch, cell, feature]
        hidden, _ = self.lstm(torch.relu(self.dense(x)))
        return self.azimuth(hidden[:, -1]), self.elevation(hidden[:, -1])
