"""The options of a search for calls. They are the same for one file and for an archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class LocateOptions:
    """Options of `run_locate` and of an `Archive`; the archive's plan file keeps them.

    Args:
        segmenter, classifier: paths of weights, or None for the shipped weights.
        time_format: format of the start time in the file names, as for strptime. None: the formats of common recorders.
        utc_offset: hours from UTC of the clock that the file names show. None: what the names say, or UTC.
        recorders: path of a file that says for each recorder how its times are read (`sound.recorders`), or None.
        min_probability: report calls whose column `probability` has at least this value, 0 to 1. None: the
            shipped threshold of each label.
        all_events: also report events that are probably not calls, labelled `boat` or `ambient`.
        method: `steering`, or `network` for bearings from a regressor (a network trained for one array).
        regressor: path of weights for `network`, or None for the shipped weights.
    """

    segmenter: Path | None = None
    classifier: Path | None = None
    time_format: str | None = None
    utc_offset: float | None = None
    recorders: Path | None = None
    min_probability: float | None = None
    all_events: bool = False
    method: str = "steering"
    regressor: Path | None = None
