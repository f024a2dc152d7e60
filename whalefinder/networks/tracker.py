"""The network that follows an animal: an LSTM over fixes and seconds, one node for azimuth, one for elevation.

Its input and output are relative to a running reference (`tracking`), so that north is no seam and a rotation of the whole
scene changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from whalefinder.errors import OptionError
from whalefinder.networks.lstm import LSTM, Elman
from whalefinder.networks.sizes import check_sizes

CELLS = {"lstm": LSTM, "elman": Elman}
MAX_OFFSET = 8.0  # the nodes are offsets in standard deviations of the reference
MAX_LOG_SD = 3.0


class Tracker(nn.Module):
    """Sequences of features to offsets from the reference.

    Args:
        input_size: features of a step, `tracking.FEATURES`.
        hidden_size: of each of two layers.
        smoother: also look from the end backwards; else causal.
        cell: "lstm", or "elman" for comparison.

    Shape:
        `[batch, step, input_size]` → azimuth node, elevation node `[batch, step]`, and log of the standard deviation relative to
        the reference's `[batch, step, 2]`.
    """

    sd_factor: Tensor

    def __init__(self, input_size: int, hidden_size: int = 64, *, smoother: bool = False, cell: str = "lstm") -> None:
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        if cell not in CELLS:
            raise OptionError(f"cell {cell!r} is unknown; choose from {', '.join(CELLS)}")
        self.config = {"input_size": input_size, "hidden_size": hidden_size, "smoother": smoother, "cell": cell}
        layer = CELLS[cell]
        ways = 2 if smoother else 1
        self.first = nn.ModuleList([layer(input_size, hidden_size) for _ in range(ways)])
        self.second = nn.ModuleList([layer(ways * hidden_size, hidden_size) for _ in range(ways)])
        self.azimuth, self.elevation = nn.Linear(ways * hidden_size, 1), nn.Linear(ways * hidden_size, 1)
        self.spread = nn.Linear(ways * hidden_size, 2)
        for node in (self.azimuth, self.elevation, self.spread):  # training starts at the reference itself
            nn.init.zeros_(node.weight)
            nn.init.zeros_(node.bias)
        self.register_buffer("sd_factor", torch.ones(()))  # set once, so that the stated regions hold what they say

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Offsets and log standard deviations. `lengths` `[batch]`: steps before the padding, None for all."""
        for layers in (self.first, self.second):
            x = torch.cat(
                [layer(x)[0] if way == 0 else _backwards(layer, x, lengths) for way, layer in enumerate(layers)], -1
            )
        azimuth, elevation = (node(x)[..., 0].clamp(-MAX_OFFSET, MAX_OFFSET) for node in (self.azimuth, self.elevation))
        return azimuth, elevation, self.spread(x).clamp(-MAX_LOG_SD, MAX_LOG_SD) + self.sd_factor.log()


def _backwards(layer: nn.Module, x: Tensor, lengths: Tensor | None) -> Tensor:
    """A layer from the last step to the first; padding stays at the end, so that it is not heard first."""
    steps = torch.arange(x.shape[1], device=x.device)
    lengths = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths
    turned = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)[..., None]
    h = layer(x.gather(1, turned.expand_as(x)))[0]
    return torch.gather(h, 1, turned.expand_as(h))
