"""William, the network that refines a bearing: for each peak of the likelihood a score, an offset and its error.

It sees how the log likelihood falls off around every peak, time cell by time cell, and a few facts (`bearings.refine`).
Everything is in the tangent plane of a peak and in its standard deviations. So the geometry stays in the formula of the
likelihood, any array works, a turned scene gives the turned answer, and there is no jump from 360° to 0°.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from whalefinder.networks.lstm import LSTM
from whalefinder.networks.sizes import check_sizes

MAX_NODE = 4.0  # an offset is at most sinh(4) = 27 standard deviations of its peak
MAX_LOG_SD = 4.0
REACH = 4.0  # inputs are cut off here; a likelihood has no upper limit


class Answer(NamedTuple):
    """What the network says of every peak.

    Shape:
        `score` (logits over the peaks), `azimuth` and `elevation` node `[batch, peak]`, `log_sd` `[batch, peak, 2]` (level,
        up) relative to the standard deviations of the peak, `log_radius` `[batch, peak, 2]` of the circles that hold the
        true direction in 50 and 90 % of all cases, relative to their root mean square.
    """

    score: Tensor
    azimuth: Tensor
    elevation: Tensor
    log_sd: Tensor
    log_radius: Tensor


class Refiner(nn.Module):
    """Network from the surroundings of the peaks to a score, two offsets and two standard deviations of each.

    All peaks go through the same weights. An LSTM reads the time cells of the call.

    Args:
        profile_size: numbers of a time cell (`bearings.refine.PROFILE_SIZE`).
        facts_size: numbers that hold for the whole call (`bearings.refine.FACTS`).
        hidden_size: size of the LSTM and of the layer behind it.

    Raises:
        OptionError: a size below 1.

    Shape:
        profiles `[batch, peak, time, profile_size]`, facts `[batch, peak, facts_size]`, lengths `[batch]` (time cells before
        the padding), present `[batch, peak]` bool → `Answer`.
    """

    log_sd_factor: Tensor
    log_radius_factor: Tensor

    def __init__(self, profile_size: int, facts_size: int, hidden_size: int = 32) -> None:
        super().__init__()
        check_sizes(profile_size=profile_size, facts_size=facts_size, hidden_size=hidden_size)
        self.config = {"profile_size": profile_size, "facts_size": facts_size, "hidden_size": hidden_size}
        self.cell = nn.Sequential(nn.Linear(profile_size + facts_size, hidden_size), nn.SiLU())
        self.lstm = LSTM(hidden_size, hidden_size)
        self.join = nn.Sequential(
            nn.Linear(2 * hidden_size + facts_size, hidden_size), nn.SiLU(), nn.Dropout(0.2),
            nn.Linear(hidden_size, hidden_size), nn.SiLU(),
        )  # fmt: skip
        self.score, self.azimuth, self.elevation = (nn.Linear(hidden_size, 1) for _ in range(3))
        self.spread, self.circles = nn.Linear(hidden_size, 2), nn.Linear(hidden_size, 2)
        # Set after training, so that ellipses and circles hold what they say on calls that training did not see.
        self.register_buffer("log_sd_factor", torch.zeros(()))
        self.register_buffer("log_radius_factor", torch.zeros(2))
        for node in (
            self.score,
            self.azimuth,
            self.elevation,
            self.spread,
            self.circles,
        ):  # before training: the peak as it is
            nn.init.zeros_(node.weight)
            nn.init.zeros_(node.bias)

    def forward(self, profiles: Tensor, facts: Tensor, lengths: Tensor, present: Tensor) -> Answer:
        """Shapes as of the class."""
        batch, peaks, times = profiles.shape[:3]
        facts = facts.clamp(-REACH, REACH)
        each = facts[:, :, None].expand(-1, -1, times, -1)
        cells = self.cell(torch.cat([profiles.clamp(-REACH, REACH), each], -1)).flatten(0, 1)
        h = self.lstm(cells)[0].unflatten(0, (batch, peaks))
        inside = (torch.arange(times, device=h.device) < lengths[:, None])[:, None, :, None]
        mean = (h * inside).sum(2) / lengths[:, None, None]
        last = h.gather(2, (lengths - 1)[:, None, None, None].expand(-1, peaks, 1, h.shape[-1]))[:, :, 0]
        z = self.join(torch.cat([mean, last, facts], -1))
        inner, wider = self.circles(z).unbind(-1)
        return Answer(
            self.score(z)[..., 0].masked_fill(~present, -1e9),
            self.azimuth(z)[..., 0].clamp(-MAX_NODE, MAX_NODE),
            self.elevation(z)[..., 0].clamp(-MAX_NODE, MAX_NODE),
            self.spread(z).clamp(-MAX_LOG_SD, MAX_LOG_SD) + self.log_sd_factor,
            torch.stack([inner, inner + nn.functional.softplus(wider)], -1)
            + self.log_radius_factor,  # the wider circle is never the smaller one
        )
