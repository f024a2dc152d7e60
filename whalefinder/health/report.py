"""The health of arrays as rows of `health.csv`, as warnings, and as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from whalefinder.files import replacing
from whalefinder.health.findings import Finding
from whalefinder.health.monitor import Monitor
from whalefinder.health.timing import Delays
from whalefinder.pages.plots import HealthPlot, draw_health
from whalefinder.results.formats import arrow_table
from whalefinder.results.schema import HEALTH
from whalefinder.results.tables import HEALTH_COLUMNS, write_table


def row_of_finding(recording: str, finding: Finding) -> dict[str, Any]:
    """One finding as a row."""
    return {
        "recording": recording,
        "kind": finding.kind,
        "channels": " ".join(map(str, finding.channels)),
        "from_s": round(finding.from_s, 2),
        "to_s": round(finding.to_s, 2),
        "value": None if finding.value is None else float(f"{finding.value:.4g}"),
        "unit": finding.unit,
        "seen": finding.seen,
        "of": finding.of,
        "finding": finding.words,
        "remedy": finding.remedy,
    }


@dataclass(frozen=True)
class HealthLog:
    """The findings of a run over many recordings: rows of `health.csv`, and what was said of them already."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    said: set[tuple[str, tuple[int, ...]]] = field(default_factory=set)

    def add(self, recording: str, findings: Iterable[Finding]) -> list[str]:
        """Add the findings of a recording. → one line for each whose kind and channels are new."""
        lines = []
        for finding in findings:
            self.rows.append(row_of_finding(recording, finding))
            key = (finding.kind, finding.channels)
            if key not in self.said:
                self.said.add(key)
                lines.append(f"{recording}: {finding.words}; {finding.remedy}")
        return lines


def write_health(rows: Sequence[dict[str, Any]], folder: Path, formats: Iterable[str] = ()) -> None:
    """Write `health.csv`, and `health.parquet` if that is one of the formats.

    Raises:
        OutputError: a file cannot be written.
    """
    write_table(folder / "health.csv", HEALTH_COLUMNS, rows)
    if "parquet" in formats:
        import pyarrow.parquet as pq

        with replacing(folder / "health.parquet") as beside:
            pq.write_table(arrow_table(rows, HEALTH), beside)


def draw(monitor: Monitor, findings: Sequence[Finding], path: Path, title: str) -> None:
    """Draw levels, gains and delays over time as a PNG file.

    Raises:
        OutputError: the file cannot be written.
    """
    channels = monitor.array.num_channels
    whole = [window for window in monitor.windows if len(window.hydrophones) == channels]
    rest = np.zeros((0, channels))
    if whole:
        delays = Delays.of(whole, monitor.array)
        rest = delays.rest(delays.delays_s)
    plot = HealthPlot(
        labels=[str(channel + 1) for channel in monitor.array.channels],
        time_s=np.array(monitor.time_s),
        level_db=monitor.levels_db,
        window_s=np.array([window.time_s for window in whole]),
        gains=np.array([window.gains for window in whole]).reshape(-1, channels),
        rest_s=rest,
        lines=[finding.words for finding in findings],
    )
    draw_health(plot, path, title)
