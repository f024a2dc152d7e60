"""What is asked of every recording, the same for one file and for an archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class LocateOptions:
    """Options of `run_locate` and of an `Archive`; the archive's plan file keeps them.

    Args:
        segmenter, classifier: weights, or None for the shipped ones.
        time_format: of the start time in file names, as for strptime; None for those of common recorders.
        min_probability: calls are reported from this value of the column `probability` on, 0 to 1; None: a threshold per label.
        all_events: also what is probably no call, labelled `boat` or `ambient`.
        method: `steering`, or `network` for bearings from a regressor.
        regressor: weights for `network`, or None for the shipped ones.
    """

    segmenter: Path | None = None
    classifier: Path | None = None
    time_format: str | None = None
    min_probability: float | None = None
    all_events: bool = False
    method: str = "steering"
    regressor: Path | None = None
