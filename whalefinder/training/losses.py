"""Training losses for a direction: azimuth is cyclic, and elevation has an upper limit, since whales are under water.

Labels are in [0, 1]: azimuth / 360° and (elevation + 90°) / 180°. A prediction comes from a linear node and can be any
finite number; azimuth is taken modulo 1. Every loss takes columns `(batch, 1)`, PyTorch tensors or NumPy arrays (NumPy
arrays give a NumPy number back). It raises an error for inputs that would train wrongly without a warning: a shape that
PyTorch would broadcast, NaN, degrees instead of labels. `docs/losses.md` compares the losses; docs/paper.md, 3, derives
them.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whalefinder.array.geometry import HydrophoneArray
from whalefinder.errors import LossError

Values = NDArray[Any] | Tensor
Number = TypeVar("Number", float, NDArray[Any], Tensor)

TURN = 2 * math.pi
TO_AZIMUTH_LABEL = "divide degrees by 360"
TO_ELEVATION_LABEL = "add 90 to degrees and divide by 180"


def azimuth_label(azimuth_deg: Number) -> Number:
    """Azimuth in degrees to a label in [0, 1): azimuth / 360 modulo 1.

    >>> azimuth_label(270.0), azimuth_label(-90.0)
    (0.75, 0.75)
    """
    return _modulo_1(azimuth_deg / 360.0)


def azimuth_deg(label: Number) -> Number:
    """Label or output of the node to degrees in [0, 360), the inverse of `azimuth_label`.

    >>> azimuth_deg(1.25)
    90.0
    """
    return 360.0 * _modulo_1(label)


def elevation_label(elevation_deg: Number) -> Number:
    """Elevation in degrees, [-90, 90], to a label in [0, 1]: (elevation + 90) / 180. The horizon is 0.5.

    >>> elevation_label(-45.0)
    0.25
    """
    return (elevation_deg + 90.0) / 180.0


def elevation_deg(label: Number) -> Number:
    """Label to degrees, the inverse of `elevation_label`.

    >>> elevation_deg(0.5)
    0.0
    """
    return 180.0 * label - 90.0


def angle_of(encoding: Values) -> Values:
    """The label in [0, 1) of a pair (sine, cosine) of any length > 0: the inverse of `AzimuthLoss.encode`.

    The arctan of sine / cosine would give the same result for 0.125 and 0.625; atan2 keeps the quadrant.

    Shape:
        `(batch, 2)` → `(batch, 1)`

    Raises:
        LossError: another shape or type, NaN or infinity.
    """
    pair = _floats(encoding, "encoding", columns=2)
    return _as_given(_modulo_1(torch.atan2(pair[:, :1], pair[:, 1:]) / TURN), encoding)


def azimuth_weight(elevation_label: Values) -> Values:
    """Weight of an azimuth error at a true elevation: cos² of the elevation, which is given as a label.

    If a direction is known to ±s, its azimuth is known to ±s / cos(elevation). The best weight is 1 / variance.

    Shape:
        `(batch, 1)` → `(batch, 1)`, in [0, 1]

    Raises:
        LossError: another shape or type, or a label outside [0, 1].
    """
    label = _label(elevation_label, "elevation label", TO_ELEVATION_LABEL)
    # elevation = π (label - 1/2), and its cosine is the sine of π label.
    return _as_given(torch.sin(math.pi * label).square(), elevation_label)


class AzimuthLoss(nn.Module):
    """Mean squared error of sine and cosine. It is cyclic, so that 359° and 1° are 2° apart.

    It equals mean(1 - cos 2π(p - l)): 0 for equal directions, 2 for opposite ones. Its gradient is
    2π sin 2π(p - l) / batch. This is 0 for exactly opposite directions too, but any small change leaves that point.

    >>> loss = AzimuthLoss()
    >>> float(loss(np.array([[0.0]]), np.array([[1.0]]))), float(loss(np.array([[0.25]]), np.array([[0.75]])))
    (0.0, 2.0)
    """

    def encode(self, tensor: Values) -> Values:
        """A point on the unit circle: `[sin 2πx, cos 2πx]`.

        Shape:
            `(batch, 1)` → `(batch, 2)`

        Raises:
            LossError: another shape or type, NaN or infinity.
        """
        return _as_given(_encode(_floats(tensor, "azimuth")), tensor)

    def forward(self, prediction_tensor: Values, label_tensor: Values, weight: Values | None = None) -> Values:
        """The loss, a scalar.

        Args:
            prediction_tensor: output of the azimuth node, taken modulo 1.
            label_tensor: true azimuth / 360°, in [0, 1].
            weight: weight ≥ 0 of each row, usually `azimuth_weight` of its true elevation; None means 1. The sum is
                divided by the number of rows, not by the weights, since a steep direction should count less.

        Shape:
            prediction_tensor, label_tensor, weight `(batch, 1)`

        Raises:
            LossError: another shape or type, NaN or infinity, a label outside [0, 1], a negative weight.
        """
        p, l = _pair(prediction_tensor, label_tensor, "azimuth", TO_AZIMUTH_LABEL)
        # Half of (sin p - sin l)² + (cos p - cos l)² is 1 - (sin p sin l + cos p cos l) = 1 - cos(p - l);
        # the mean over the two columns gives the half.
        square = (_encode(p) - _encode(l)).square()
        if weight is not None:
            square = square * _weights(weight, p)
        return _as_given(square.mean(), prediction_tensor, label_tensor)


class ElevationLoss(nn.Module):
    """Squared error plus a penalty relu(p - highest)² for predictions above the water.

    Args:
        highest: the largest label that physics allows, in [0, 1]; 0.5 for an array at the surface, 1 for no limit.

    Raises:
        LossError: `highest` outside [0, 1].

    >>> float(ElevationLoss()(np.array([[0.75]]), np.array([[0.25]])))   # 0.5² + 0.25²
    0.3125
    """

    def __init__(self, highest: float = 0.5) -> None:
        super().__init__()
        if not 0.0 <= highest <= 1.0:
            raise LossError(f"highest elevation label {highest:g} is outside [0, 1]; {TO_ELEVATION_LABEL}")
        self.highest = float(highest)

    @classmethod
    def of(cls, array: HydrophoneArray) -> ElevationLoss:
        """The loss with the limit of an array, asin(min(1, depth / min_range)). No limit if the depth is unknown."""
        return cls(elevation_label(math.degrees(array.max_elevation_rad())))

    def forward(self, prediction_tensor: Values, label_tensor: Values) -> Values:
        """The loss, a scalar.

        Args:
            prediction_tensor: output of the elevation node.
            label_tensor: (true elevation + 90°) / 180°, in [0, 1].

        Shape:
            prediction_tensor, label_tensor `(batch, 1)`

        Raises:
            LossError: another shape or type, NaN or infinity, or a label outside [0, 1].
        """
        p, l = _pair(prediction_tensor, label_tensor, "elevation", TO_ELEVATION_LABEL)
        above = torch.relu(p - self.highest)
        return _as_given(((p - l).square() + above.square()).mean(), prediction_tensor, label_tensor)


class GreatCircleLoss(nn.Module):
    """1 - cos of the great-circle angle between two directions: the error of both angles together.

    It has no limit of elevation. Straight down its gradient in azimuth is 0, since azimuth has no meaning there.
    """

    def forward(self, azimuth: Values, elevation: Values, true_azimuth: Values, true_elevation: Values) -> Values:
        """The loss, a scalar.

        Args:
            azimuth, elevation: outputs of the nodes.
            true_azimuth, true_elevation: labels in [0, 1].

        Shape:
            all `(batch, 1)`

        Raises:
            LossError: another shape or type, NaN or infinity, or a label outside [0, 1].
        """
        az, true_az = _pair(azimuth, true_azimuth, "azimuth", TO_AZIMUTH_LABEL)
        el, true_el = _pair(elevation, true_elevation, "elevation", TO_ELEVATION_LABEL)
        if len(az) != len(el):
            raise LossError(f"{len(az)} azimuths but {len(el)} elevations; give one of each per row")
        # cos γ = sin e sin e' + cos e cos e' cos Δa, and adding and subtracting cos e cos e' gives
        # 1 - cos γ = (1 - cos Δe) + cos e cos e' (1 - cos Δa): an elevation loss and an azimuth loss weighted by
        # about cos² e. Each 1 - cos x is 2 sin²(x/2), which keeps its digits for small x. cos e = sin π label.
        level = torch.sin(math.pi * el) * torch.sin(math.pi * true_el)
        rise = 2 * torch.sin(math.pi * (el - true_el) / 2).square()
        turn = 2 * torch.sin(math.pi * (az - true_az)).square()
        return _as_given((rise + level * turn).mean(), azimuth, elevation, true_azimuth, true_elevation)


def _modulo_1(x: Number) -> Number:
    # Twice, since -1e-17 % 1 rounds up to 1 itself.
    return x % 1.0 % 1.0


def _encode(x: Tensor) -> Tensor:
    # Whole turns are subtracted first. This is exact and does not change the gradient; 0 and 1 get the same sine.
    angle = TURN * (x - x.detach().round())
    return torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)


def _pair(prediction: Values, label: Values, name: str, remedy: str) -> tuple[Tensor, Tensor]:
    p, l = _floats(prediction, f"{name} prediction"), _label(label, f"{name} label", remedy)
    if len(p) != len(l):
        raise LossError(f"{name}: {len(p)} predictions but {len(l)} labels; give one of each per row")
    return p, l


def _weights(weight: Values, prediction: Tensor) -> Tensor:
    w = _floats(weight, "weight")
    if len(w) != len(prediction):
        raise LossError(f"{len(w)} weights for {len(prediction)} predictions; give one per row")
    if (w < 0).any():
        raise LossError(f"weight {float(w.min()):g} is below 0; weights are ≥ 0, such as azimuth_weight(elevation)")
    return w


def _label(values: Values, name: str, remedy: str) -> Tensor:
    label = _floats(values, name)
    outside = label[(label < 0) | (label > 1)]
    if len(outside):
        raise LossError(f"{name} {float(outside[0]):g} is outside [0, 1]; {remedy}")
    return label


def _floats(values: Values, name: str, columns: int = 1) -> Tensor:
    """All inputs pass here: `(batch, columns)` finite floats as a tensor, otherwise a LossError."""
    x = _tensor(values, name)
    if x.ndim != 2 or x.shape[1] != columns or not len(x):
        shape = tuple(x.shape)
        raise LossError(f"{name} has shape {shape}; need (batch, {columns}) with batch ≥ 1, for example by reshape")
    if not torch.isfinite(x).all():
        bad = float(x.detach()[~torch.isfinite(x)][0])
        raise LossError(f"{name} holds {bad}; all values must be finite: correct or remove these rows")
    return x


def _tensor(values: Values, name: str) -> Tensor:
    found = getattr(values, "dtype", type(values).__name__)
    remedy = "need floats in a NumPy array or a tensor, for example by .astype(float) or .float()"
    try:
        # A copy, since tensors cannot share the memory of read-only or reversed arrays.
        x = torch.from_numpy(values.copy()) if isinstance(values, np.ndarray) else values
    except (TypeError, ValueError) as reason:
        raise LossError(f"{name} is of type {found}; {remedy}") from reason
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise LossError(f"{name} is of type {found}; {remedy}")
    return x


def _as_given(result: Tensor, *inputs: Values) -> Values:
    """`result` as NumPy if all inputs were NumPy arrays, else as a tensor."""
    return result.numpy()[()] if all(isinstance(values, np.ndarray) for values in inputs) else result
