"""The network that follows an animal: an LSTM over time steps, with one node for azimuth and one for elevation.

Its input and output are relative to a reference direction that moves with the animal (`tracks.follow`). So the jump
from 360° to 0° at north does not matter, and turning the whole scene changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from whalefinder.errors import OptionError
from whalefinder.networks.lstm import LSTM, Elman
from whalefinder.networks.sizes import check_sizes

CELLS = {"lstm": LSTM, "elman": Elman}
MAX_OFFSET = 8.0  # limit of the nodes, which are offsets in standard deviations of the reference
MAX_LOG_SD = 3.0


class Tracker(nn.Module):
    """Network from sequences of features to offsets from the reference.

    Args:
        input_size: number of features of a step.
        hidden_size: size of each of the two layers.
        smoother: True also reads the sequence from its end backwards. False is causal: it uses the past only.
        cell: "lstm", or "elman" for comparison.

    Raises:
        OptionError: a size below 1, or an unknown cell.

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
        for node in (self.azimuth, self.elevation, self.spread):  # before training, the answer is the reference itself
            nn.init.zeros_(node.weight)
            nn.init.zeros_(node.bias)
        self.register_buffer("sd_factor", torch.ones(()))  # set after training: makes the stated errors right

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Offsets and log standard deviations, shapes as of the class.

        `lengths` `[batch]` is the number of steps before the padding, or None if there is no padding.
        """
        for layers in (self.first, self.second):
            x = torch.cat(
                [layer(x)[0] if way == 0 else _backwards(layer, x, lengths) for way, layer in enumerate(layers)], -1
            )
        azimuth, elevation = (node(x)[..., 0].clamp(-MAX_OFFSET, MAX_OFFSET) for node in (self.azimuth, self.elevation))
        return azimuth, elevation, self.spread(x).clamp(-MAX_LOG_SD, MAX_LOG_SD) + self.sd_factor.log()


def _backwards(layer: nn.Module, x: Tensor, lengths: Tensor | None) -> Tensor:
    """Run a layer from the last step to the first. Padding stays at the end, so the layer does not read it first."""
    steps = torch.arange(x.shape[1], device=x.device)
    lengths = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths
    turned = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)[..., None]
    h = layer(x.gather(1, turned.expand_as(x)))[0]
    return torch.gather(h, 1, turned.expand_as(h))
