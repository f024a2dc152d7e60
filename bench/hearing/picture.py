"""A look at what is wrongly named orca: the surest alarm of each of the worst rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.hearing.judges import Mark
from bench.hearing.run import OURS, Heard
from whalefinder.sound import spectrogram
from whalefinder.sound.spectrogram import BIN_HZ, FIRST_BIN, FRAME_S
from whalefinder.training.sounds import mono_spectrum

AROUND_S = 1.5
LONGEST_S = 12.0


def worst_alarms(heard: Sequence[Heard], count: int) -> list[tuple[Heard, Mark]]:
    """The surest alarm of each row without an orca, rows with the most alarms a minute first."""
    rows: dict[tuple[str, str], list[Heard]] = {}
    for one in heard:
        if one.sound.part != "calls":
            rows.setdefault((one.sound.part, one.sound.row), []).append(one)
    by_rate = sorted(rows.values(), key=lambda some: -sum(o.alarms(OURS) for o in some) / sum(o.seconds for o in some))
    found = []
    for some in by_rate:
        alarms = [(one, mark) for one in some for mark in one.marks[OURS] if mark.named]
        if alarms:
            found.append(max(alarms, key=lambda pair: pair[1].score))
    return found[:count]


def draw_worst(heard: Sequence[Heard], path: Path, count: int = 24, columns: int = 4) -> None:
    """Spectrograms, each 0.4-12.3 kHz over its median, with the alarm's begin and end as lines."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    alarms = worst_alarms(heard, count)
    if not alarms:
        return
    lines = -(-len(alarms) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(4 * columns, 2.4 * lines), squeeze=False)
    for panel in axes.flat[len(alarms) :]:
        panel.axis("off")
    for panel, (one, mark) in zip(axes.flat, alarms, strict=False):
        power = spectrogram.power(mono_spectrum(one.sound.read())) + spectrogram.FLOOR
        level = (10 * power.log10()).numpy()
        level = level - np.median(level, axis=1, keepdims=True)
        begin = max(0.0, mark.begin_s - AROUND_S)
        end = min(mark.end_s + AROUND_S, begin + LONGEST_S)
        shown = level[:, int(begin / FRAME_S) : int(end / FRAME_S) + 1]
        low, high = FIRST_BIN * BIN_HZ / 1e3, (FIRST_BIN + len(level)) * BIN_HZ / 1e3
        panel.imshow(
            shown, origin="lower", aspect="auto", extent=(begin, end, low, high), cmap="magma", vmin=-3, vmax=25
        )
        for edge in (mark.begin_s, mark.end_s):
            panel.axvline(edge, color="w", linewidth=0.8, linestyle=":")
        panel.set_title(f"{one.sound.row}, {one.sound.split}: {one.sound.source[:28]}, p {mark.score:.2f}", fontsize=7)
        panel.tick_params(labelsize=6)
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    plt.close(figure)
