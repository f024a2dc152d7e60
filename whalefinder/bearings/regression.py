"""Bearings directly from a network (`networks.regressor`), for the one array that it was trained for.

Steering has the geometry in a formula, so it works with any array. Here the geometry is in the weights. The same array
with another heading may be used, since only the azimuths turn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from whalefinder.array.geometry import Floats, HydrophoneArray, angles, direction
from whalefinder.bearings.steering import Fix
from whalefinder.errors import ArrayError, OptionError
from whalefinder.networks.regressor import CallBins, Regressor
from whalefinder.networks.weights import expect, fitting, read_card, shipped_weights

METHODS = ("network", "steering", "regressor")
SHIPPED = "regressor"
SAME_PLACE_M = 0.01  # positions of the trained array and of the user's may differ by this
SAME_ELEVATION_DEG = 0.5
REMEDY = "use `method` network, which takes any array, or train a regressor for this array"


@dataclass(frozen=True)
class Regression:
    """A regressor with the array for which it gives bearings.

    Args:
        network: the regressor, ready for inference.
        array: the array.
        heading_rad: heading of this array relative to the trained one, clockwise, in radians.
        sd_rad: standard deviation `[2]` (level, up) of all its bearings in radians, measured in validation.
    """

    network: Regressor
    array: HydrophoneArray
    heading_rad: float
    sd_rad: Floats

    @torch.inference_mode()
    def find_direction(self, spectra: Tensor, share: Tensor) -> Fix | None:
        """The direction of one event, or None if no bin holds enough call.

        Args:
            spectra: complex `[channel, frequency, frame]`.
            share: call share `[frequency, frame]`.
        """
        bins = CallBins.of(spectra, share)
        if len(bins.share) == 0:
            return None
        azimuth, elevation = self.network(self.network.features(bins, 1, self.array.sound_speed_m_s))
        # From nodes to radians. The node of the azimuth can be any number: whole turns do not matter.
        level = 2 * math.pi * float(azimuth) + self.heading_rad
        up = float(np.clip(math.pi * (float(elevation) - 0.5), -math.pi / 2, self.array.max_elevation_rad()))
        return Fix(u=direction(level, up), covariance=np.diag(self.sd_rad**2), log_likelihood=math.nan, margin=math.inf)


def regression_for(array: HydrophoneArray | None, method: str, weights: Path | str | None) -> Regression | None:
    """The regression that a method needs.

    Args:
        array: the geometry, or None.
        method: one of `METHODS`.
        weights: path of the regressor's weights for `regressor`, or None for the shipped ones.

    Returns:
        The regressor for `regressor`, None for the others.

    Raises:
        ArrayError: the regressor was trained for another array.
        ModelError: the weights cannot be read.
        OptionError: an unknown method, weights for another method, or `regressor` without an array.
    """
    if method not in METHODS:
        raise OptionError(f"`method` {method!r} is unknown; allowed are {', '.join(METHODS)}")
    if method != "regressor":
        if weights is not None:
            raise OptionError(f"regressor {weights}: {method} takes none; add `method` regressor")
        return None
    if array is None:
        raise OptionError("method 'regressor' gives bearings and needs the array; give `array`")
    return load_regressor(array, weights)


def load_regressor(array: HydrophoneArray, path: Path | str | None = None) -> Regression:
    """The regressor of the weights in `path`, or the shipped one, for `array`.

    Raises:
        ArrayError: the regressor was trained for another array.
        ModelError: the weights or their card cannot be read.
    """
    file = Path(path) if path else shipped_weights(SHIPPED)
    expect(file, SHIPPED)
    card = read_card(file)
    with fitting(file):
        trained = HydrophoneArray(
            name=card["array"]["name"],
            positions_m=card["array"]["positions_m"],
            sound_speed_m_s=card["array"]["sound_speed_m_s"],
        )
        sd_rad = np.radians(card["sd_deg"])
        network = Regressor(**card["config"])
        heading_rad = _heading_of(array, trained, card["array"])
        network.load_state_dict(load_file(file))
    return Regression(network.eval(), array, heading_rad, sd_rad)


def _heading_of(array: HydrophoneArray, trained: HydrophoneArray, card: dict[str, Any]) -> float:
    """Heading of `array` relative to the trained one in radians. Raises ArrayError if it is another array."""
    if array.num_channels != trained.num_channels:
        raise ArrayError(
            f"array {array.name!r}: {array.num_channels} hydrophones, the regressor was trained for the "
            f"{trained.num_channels} of {trained.name!r}; {REMEDY}"
        )
    heading_rad, distance_m = turned_by(array.positions_m, trained.positions_m)
    if distance_m > SAME_PLACE_M:
        raise ArrayError(
            f"array {array.name!r}: a hydrophone lies {distance_m:.2g} m from where the regressor's array {trained.name!r} "
            f"has it, more than {SAME_PLACE_M:g} m; {REMEDY}"
        )
    highest_deg, trained_deg = math.degrees(array.max_elevation_rad()), card["max_elevation_deg"]
    if highest_deg > trained_deg + SAME_ELEVATION_DEG:
        raise ArrayError(
            f"array {array.name!r}: sound may come from elevations up to {highest_deg:.0f}°, the regressor was trained up "
            f"to {trained_deg:.0f}°; state depth_m and min_range_m in the array file, or {REMEDY}"
        )
    return heading_rad


def turned_by(positions_m: Floats, trained_m: Floats) -> tuple[float, float]:
    """The heading by which the trained array must turn to fit an array best, and the largest distance that is left.

    The origins do not matter to a plane wave, so both arrays are first moved to their centres.

    Args:
        positions_m: `[channel, 3]` of the array, metres.
        trained_m: `[channel, 3]` of the trained array, in the same order.

    Returns:
        Heading in radians, clockwise, and distance in metres.
    """
    here, there = positions_m - positions_m.mean(axis=0), trained_m - trained_m.mean(axis=0)
    # As complex numbers x + jy, a clockwise turn by h is a factor exp(-jh).
    turn = np.sum((here[:, 0] + 1j * here[:, 1]) * np.conj(there[:, 0] + 1j * there[:, 1]))
    heading_rad = -float(np.angle(turn))
    azimuth, elevation = angles(there)
    turned = direction(azimuth + heading_rad, elevation) * np.linalg.norm(there, axis=1, keepdims=True)
    return heading_rad, float(np.linalg.norm(turned - here, axis=1).max())
