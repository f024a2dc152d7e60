"""Why a network decided as it did: cover a part of its input, and measure how much its confidence falls.

*Occlusion* moves a window over time and frequency, replaces the input in it by a neutral one, and runs the network
again. The loss of confidence, drawn where the window was, shows on what the answer depends: on the call, or on
something that has nothing to do with whales (a confound). `occlude` takes any function of the planes; `decisions` has
those of the classifier and of the segmentation network. For a *bearing* a hydrophone is left out instead
(`leave_one_out`).

A map has one limit. If a network uses two signs and each alone is enough, then covering one of them costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whalefinder.errors import OptionError
from whalefinder.optional import needs
from whalefinder.results.tables import write_table
from whalefinder.sound import features
from whalefinder.sound.spectrogram import BIN_HZ, FIRST_BIN, FRAME_S

Score = Callable[[Tensor], Tensor]
"""Planes `[batch, plane, frequency, frame]` → confidence `[batch]`, or `[batch, value]` with a `target`."""
BASELINES = ("mean", "silence")
BLUR = 3  # the local mean is taken over this many windows, so that a call is not replaced by itself
BATCH = 8
Report = Callable[[int, int], None]
"""It is called with (windows done, windows in all)."""


def silent(done: int, total: int) -> None:
    """A report that does nothing."""


@dataclass(frozen=True, kw_only=True)
class Occluder:
    """The window that covers the input: its size and step in bins (46.9 Hz) and frames (10.7 ms), and what replaces it.

    Args:
        bins, frames: size. A larger window finds signs that are spread out; a smaller one gives a sharper map but may
            find nothing.
        stride_bins, stride_frames: step. Where windows overlap, the map is their mean.
        baseline: `mean` replaces the planes by their mean over three windows in both directions, so the level of the
            background stays. `silence` replaces them by 0, which is the value of average bins and of bins above the
            recorder's band.

    Raises:
        OptionError: a size or step below 1, a step larger than the window, or an unknown baseline.
    """

    bins: int = 16
    frames: int = 16
    stride_bins: int = 8
    stride_frames: int = 8
    baseline: str = "mean"

    def __post_init__(self) -> None:
        if self.baseline not in BASELINES:
            raise OptionError(f"baseline {self.baseline!r} is unknown; choose from {', '.join(BASELINES)}")
        for name, size, step in (
            ("bins", self.bins, self.stride_bins),
            ("frames", self.frames, self.stride_frames),
        ):
            if not 1 <= step <= size:
                raise OptionError(
                    f"a window of {size} {name} moved by {step}; the step must be 1 to {max(size, 1)}, otherwise some places are never covered"
                )

    @classmethod
    def of(cls, hz: float, seconds: float, baseline: str = "mean") -> Occluder:
        """A window of about `hz` by `seconds`, moved by half its size."""
        bins, frames = max(1, round(hz / BIN_HZ)), max(1, round(seconds / FRAME_S))
        return cls(
            bins=bins,
            frames=frames,
            stride_bins=max(1, bins // 2),
            stride_frames=max(1, frames // 2),
            baseline=baseline,
        )

    def covers(self, planes: Tensor) -> Tensor:
        """The planes that replace covered ones; same shape as `planes` `[plane, frequency, frame]`."""
        if self.baseline == "silence":
            return torch.zeros_like(planes)
        bins, frames = (BLUR * size // 2 for size in self.size(planes))
        along_time = features.moving_mean(planes, frames)
        return features.moving_mean(along_time.transpose(-2, -1), bins).transpose(-2, -1)

    def size(self, planes: Tensor) -> tuple[int, int]:
        """The size of the window in bins and frames, not larger than `planes` `[plane, frequency, frame]`."""
        return min(self.bins, planes.shape[-2]), min(self.frames, planes.shape[-1])

    def count(self, planes: Tensor) -> int:
        """The number of places of the window on `planes` `[plane, frequency, frame]`."""
        window = self.size(planes)
        step = (self.stride_bins, self.stride_frames)
        places = [-(-(n - w) // s) + 1 for n, w, s in zip(planes.shape[-2:], window, step, strict=True)]
        return int(np.prod(places))


@dataclass(frozen=True)
class HeatMap:
    """The loss of confidence for each place that was covered.

    Args:
        loss: loss of confidence, `[frequency, frame]`. It is negative where covering made the network surer.
        confidence: the confidence with nothing covered.
        step: (bins, frames) of a cell, in which the map is constant.
        first_frame: index in the recording of the first frame.
    """

    loss: NDArray[np.float64]
    confidence: float
    step: tuple[int, int] = (1, 1)
    first_frame: int = 0

    def peak(self) -> tuple[float, float]:
        """(time s, frequency Hz) of the largest loss: the middle of its cell of the map."""
        bin_, frame = np.unravel_index(int(self.loss.argmax()), self.loss.shape)
        rows, columns = (self._cell(int(at), axis) for axis, at in enumerate((bin_, frame)))
        middle = (columns[0] + columns[1] - 1) / 2 + self.first_frame
        return float(middle * FRAME_S), float(((rows[0] + rows[1] - 1) / 2 + FIRST_BIN) * BIN_HZ)

    def weight_within(self, mask: NDArray[np.bool_]) -> float:
        """Share of all loss that lies in `mask` `[frequency, frame]`. Gains do not count. NaN if there is no loss."""
        lost = np.maximum(self.loss, 0.0)
        total = float(lost.sum())
        return float(lost[mask].sum()) / total if total > 0 else float("nan")

    def stretched(self, frames: int) -> HeatMap:
        """The map in frames of the spectrum, if one frame of the planes stands for `frames` of them."""
        return replace(self, loss=self.loss.repeat(frames, axis=1), step=(self.step[0], self.step[1] * frames))

    def until(self, frames: int) -> HeatMap:
        """The first `frames` frames of the map."""
        return replace(self, loss=self.loss[:, :frames])

    def rows(self) -> Iterator[dict[str, float]]:
        """The map as a table, one row for each cell: times in s, band in Hz, loss."""
        bins, frames = self.loss.shape
        for low in range(0, bins, self.step[0]):
            for begin in range(0, frames, self.step[1]):
                high, end = min(bins, low + self.step[0]), min(frames, begin + self.step[1])
                yield {
                    "begin_s": round((self.first_frame + begin - 0.5) * FRAME_S, 3),
                    "end_s": round((self.first_frame + end - 0.5) * FRAME_S, 3),
                    "low_hz": round((FIRST_BIN + low - 0.5) * BIN_HZ, 1),
                    "high_hz": round((FIRST_BIN + high - 0.5) * BIN_HZ, 1),
                    "loss": round(float(self.loss[low, begin]), 6),
                }

    def _cell(self, at: int, axis: int) -> tuple[int, int]:
        begin = at // self.step[axis] * self.step[axis]
        return begin, min(self.loss.shape[axis], begin + self.step[axis])


def occlude(
    score: Score,
    planes: Tensor,
    occluder: Occluder | None = None,
    *,
    target: int | None = None,
    first_frame: int = 0,
    report: Report = silent,
) -> HeatMap:
    """Heat map of the loss of `score` when a window of all planes is covered (Zeiler and Fergus 2014, arXiv:1311.2901).

    Args:
        score: any function of batches of planes; a batch has up to 8.
        planes: `[plane, frequency, frame]`.
        occluder: the window, or None for the default one.
        target: index of the value, if `score` returns several.
        first_frame: index in the recording of the first frame, for the times of the map.
        report: is called with (windows done, windows in all).

    Raises:
        OptionError: captum is not installed, or the planes have another shape.
    """
    occlusion = _captum_occlusion()
    if planes.dim() != 3:
        raise OptionError(f"planes of shape {tuple(planes.shape)}; need [plane, frequency, frame]")
    occluder = occluder or Occluder()
    asked, total = 0, occluder.count(planes)

    def counted(batch: Tensor) -> Tensor:
        nonlocal asked
        answer = score(batch)
        asked += len(batch)
        report(min(asked - 1, total), total)  # the first call has nothing covered
        return answer

    channels = planes.shape[0]
    with torch.inference_mode():
        whole = score(planes[None])
        loss = occlusion(counted).attribute(
            planes[None],
            sliding_window_shapes=(channels, *occluder.size(planes)),
            strides=(channels, occluder.stride_bins, occluder.stride_frames),
            baselines=occluder.covers(planes)[None],
            target=target,
            perturbations_per_eval=BATCH,
        )[0, 0]
    confidence = float(whole[0] if target is None else whole[0, target])
    step = (occluder.stride_bins, occluder.stride_frames)
    return HeatMap(loss.double().numpy(), confidence, step, first_frame)


def _captum_occlusion() -> type:
    needs("captum", what="occlusion")
    from captum.attr import Occlusion

    return Occlusion  # type: ignore[no-any-return]


def write_map(heat: HeatMap, path: Path) -> None:
    """Write the map as CSV, one row for each cell.

    Raises:
        OutputError: the file cannot be written.
    """
    write_table(path, ("begin_s", "end_s", "low_hz", "high_hz", "loss"), heat.rows())
