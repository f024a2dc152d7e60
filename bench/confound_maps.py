"""Occlusion for `bench.confounds`: whether the maps of right and of wrong answers lie on the call."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from whalefinder.calls.classification import POOL_FRAMES, WINDOW_FRAMES, load_labels, planes_of
from whalefinder.evaluation.metrics import bootstrap
from whalefinder.explain import decisions
from whalefinder.explain import occlusion as explain
from whalefinder.networks.classifier import Classifier
from whalefinder.sound import spectrogram
from whalefinder.sound.spectrogram import BIN_HZ, FIRST_BIN, FRAME_S, NUM_BINS

if TYPE_CHECKING:
    from bench.confounds import Clip, Effect

OCCLUDER = explain.Occluder(
    bins=16, frames=8, stride_bins=8, stride_frames=4
)  # 0.75 kHz by 0.17 s, in the classifier's frames of 21 ms
BANDS_KHZ = (0.35, 1, 2, 4, 8, 12.4)
KINDS = ("orca, right", "orca, missed", "ship taken for orca", "ship, right")


@dataclass(frozen=True)
class Looked:
    """The map of one clip.

    Args:
        kind: one of `KINDS`.
        heat: map of the log odds of orca.
        near: bins near its call, `[frequency, frame]` bool, or None without a call.
        source: name of the clip of the call, or of the recording.
    """

    kind: str
    heat: explain.HeatMap
    near: NDArray[np.bool_] | None
    source: str

    @property
    def peak_is_near(self) -> bool:
        """Whether the place of the largest loss lies on the call (the "pointing game", Zhang et al. 2016)."""
        assert self.near is not None
        return bool(self.near.flat[int(self.heat.loss.argmax())])


def look(network: Classifier, orcas: list[Clip], ships: list[Clip], count: int) -> list[Looked]:
    """Make the maps of `count` clips of each of the two lists, taken at even distances."""
    labels, maps = load_labels(), []
    score = decisions.log_odds(network, "orca")
    for clips in (orcas, ships):
        for k in np.linspace(0, len(clips) - 1, min(count, len(clips))).astype(int):
            planes = _planes(clips[k])
            with torch.inference_mode():
                orca = labels.name(network.probabilities(planes[None])[0].double().numpy()) == "orca"
            kind = KINDS[(0 if orca else 1) if clips[k].call is not None else (2 if orca else 3)]
            maps.append(Looked(kind, explain.occlude(score, planes, OCCLUDER), _near(clips[k]), clips[k].source))
    return maps


def _spectra(samples: NDArray[np.float32]) -> torch.Tensor:
    return spectrogram.stft(torch.from_numpy(np.ascontiguousarray(samples))[None])[..., :WINDOW_FRAMES]


def _planes(clip: Clip) -> torch.Tensor:
    return planes_of(_spectra(clip.samples), spectrogram.frequencies_hz() <= clip.bandwidth_hz)


def _near(clip: Clip) -> NDArray[np.bool_] | None:
    """Bins where the call is louder than the ship, and half a window around them, since the map is no sharper."""
    if clip.call is None or clip.cut_noise is None:
        return None
    call, rest = (
        spectrogram.power(_spectra(part))[0].unflatten(-1, (-1, POOL_FRAMES)).mean(-1).numpy()
        for part in (clip.call - clip.cut_noise, clip.samples - clip.call)
    )
    near: NDArray[np.bool_] = maximum_filter(call > rest, (OCCLUDER.bins, OCCLUDER.frames))
    return near


def table(maps: list[Looked]) -> str:
    """Two tables: how much of the maps lies on the true call, and in which frequencies the weight lies."""
    lines = [
        "| answer | clips | weight of the map on the call | area of the call | largest loss lies on the call |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind in KINDS[:2]:
        some = [m for m in maps if m.kind == kind and m.near is not None and m.near.any()]
        lines.append(
            f"| {kind} | {len(some)} | " + " | ".join(_shares(some)) + " |" if some else f"| {kind} | 0 | – | – | – |"
        )
    edges = [f"{low:g}–{high:g} kHz" for low, high in pairwise(BANDS_KHZ)]
    lines += [
        "",
        "| answer | clips | " + " | ".join(edges) + " | first and last 0.5 s |",
        "|" + " --- |" * (len(edges) + 3),
    ]
    for kind in KINDS:
        some = [m for m in maps if m.kind == kind]
        if some:
            lines.append(f"| {kind} | {len(some)} | " + " | ".join(_by_band(some)) + " |")
    return "\n".join(lines)


def _shares(maps: list[Looked]) -> list[str]:
    columns = (
        [m.heat.weight_within(m.near) for m in maps if m.near is not None],
        [float(m.near.mean()) for m in maps if m.near is not None],
        [float(m.peak_is_near) for m in maps],
    )
    sources = [m.source for m in maps]
    found = [bootstrap(lambda i, c=np.array(c): float(np.nanmean(c[i])), sources) for c in columns]
    return [f"{100 * x.value:.0f} % ({100 * x.low:.0f}–{100 * x.high:.0f})" for x in found]


def _by_band(maps: list[Looked]) -> list[str]:
    khz = (np.arange(NUM_BINS) + FIRST_BIN) * BIN_HZ / 1e3
    mean = np.mean([_normalised(m.heat) for m in maps], axis=0)
    shares = [mean[(khz >= low) & (khz < high)].sum() for low, high in pairwise(BANDS_KHZ)]
    edge = round(0.5 / FRAME_S / POOL_FRAMES)
    shares.append(mean[:, :edge].sum() + mean[:, -edge:].sum())
    return [f"{100 * share:.0f} %" for share in shares]


def _normalised(heat: explain.HeatMap) -> NDArray[np.float64]:
    lost = np.maximum(heat.loss, 0.0)
    return lost / max(float(lost.sum()), 1e-12)


def draw(maps: list[Looked], effects: list[tuple[str, dict[str, Effect | None]]], path: Path) -> None:
    """Draw the mean maps by answer, and below them the decisions that each manipulation changed."""
    figure = Figure(figsize=(12, 9), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[1, 1.6])  # type: ignore[misc]
    kinds = [kind for kind in KINDS if any(m.kind == kind for m in maps)]
    axes = np.atleast_1d(top.subplots(1, len(kinds), sharey=True))
    extent = (0.0, WINDOW_FRAMES * FRAME_S, (FIRST_BIN - 0.5) * BIN_HZ / 1e3, (FIRST_BIN + NUM_BINS) * BIN_HZ / 1e3)
    for axis, kind in zip(axes, kinds, strict=True):
        some = [m for m in maps if m.kind == kind]
        mean = np.mean([_normalised(m.heat) for m in some], axis=0)
        image = axis.imshow(mean * mean.size, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=0)
        figure.colorbar(image, ax=axis, label="weight over an even spread")
        if some[0].near is not None:
            near = np.mean([m.near for m in some], axis=0)
            axis.contour(near, [0.5], extent=extent, colors="#7ce0ff", linewidths=0.9)
        axis.set(title=f"{kind} (n = {len(some)})", xlabel="time (s)")
    axes[0].set_ylabel("frequency (kHz)")
    _draw_effects(bottom.subplots(), effects)
    figure.savefig(path, dpi=110)


def _draw_effects(axis: Any, effects: list[tuple[str, dict[str, Effect | None]]]) -> None:
    names = ("orca in ships", "ships alone", "no ship")
    place = np.arange(len(effects))
    for shift, (name, colour) in enumerate(zip(names, ("#ff6b35", "#0b6e99", "#8a97a6"), strict=True)):
        rows = [(y, e[name].flipped) for y, (_, e) in zip(place, effects, strict=True) if e[name] is not None]  # type: ignore[union-attr]
        value = np.array([[100 * i.value, 100 * (i.value - i.low), 100 * (i.high - i.value)] for _, i in rows]).T
        at = np.array([y for y, _ in rows]) + 0.25 * (shift - 1)
        axis.errorbar(
            value[0], at, xerr=np.maximum(value[1:], 0), fmt="o", markersize=4, color=colour, label=name, capsize=2
        )
    axis.set_yticks(place, [what for what, _ in effects])
    axis.invert_yaxis()
    axis.set_xlabel("decisions flipped (%), 95 % interval")
    axis.grid(alpha=0.25)
    axis.legend(frameon=False)
