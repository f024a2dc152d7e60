"""Output folders as a run leaves them, made without a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from tests.helpers import write
from whalefinder.results.schema import DETECTIONS, RECORDINGS, TRACKS, names
from whalefinder.results.tables import write_table

START = datetime(2026, 7, 1, 4, 30, tzinfo=UTC)


def utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def detection(name: str = "a.wav", begin_s: float = 1.0, **others) -> dict:
    row = dict.fromkeys(names(DETECTIONS)) | {
        "recording": name, "begin_s": begin_s, "end_s": begin_s + 0.8, "low_hz": 900.0, "high_hz": 6000.0,
        "label": "orca", "probability": 0.97, "snr_db": 6.0, "azimuth_deg": 45.0, "elevation_deg": -5.0,
        "azimuth_sd_deg": 2.0, "elevation_sd_deg": 3.0, "ambiguity": "",
    }  # fmt: skip
    return row | others


def sweep(seconds: float, calls: list[float], rate: int = 16_000, seed: int = 0) -> np.ndarray:
    """Quiet noise with a rising tone at each of `calls`, `[time]`."""
    rng = np.random.default_rng(seed)
    samples = 0.003 * rng.standard_normal(round(seconds * rate))
    t = np.arange(round(0.8 * rate)) / rate
    tone = 0.05 * np.hanning(len(t)) * np.sin(2 * np.pi * (1500 * t + 1200 * t**2))
    for begin_s in calls:
        first = round(begin_s * rate)
        samples[first : first + len(t)] += tone[: len(samples) - first]
    return samples


def write_output(
    folder: Path,
    sounds: Path,
    *,
    files: int = 3,
    every_h: float = 7.0,
    calls: int = 4,
    dated: bool = True,
    level: bool = True,
) -> Path:
    """`files` recordings of half a minute, `calls` in each, one track a file; the tables of a run over them."""
    rng = np.random.default_rng(1)
    recordings, detections, tracks = [], [], []
    sounds.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        start = START + timedelta(hours=every_h * number)
        name = f"{start:%Y%m%d_%H%M%S}.wav" if dated else f"dive {number} <b>&.wav"
        times = sorted(rng.uniform(1, 28, calls).round(2).tolist())
        path = write(sounds / name, sweep(30.0, times), 16_000)
        when = dict(
            zip(("recording", "path", "start_utc"), (name, str(path), utc(start) if dated else None), strict=True)
        )
        recordings.append(when | {"duration_s": 30.0, "rate_hz": 16_000.0, "channels": 1})
        for k, begin_s in enumerate(times):
            azimuth = (330 + 25 * number + 6 * k + rng.normal(0, 3)) % 360
            row = detection(name, begin_s, azimuth_deg=round(azimuth, 2), snr_db=round(rng.normal(4, 5), 2))
            row["level_db"] = round(110 + rng.normal(0, 5), 2) if level else None
            row["start_utc"] = utc(start + timedelta(seconds=begin_s)) if dated else None
            detections.append(row)
        for second in range(int(times[0]), int(times[-1]) + 1):
            tracks.append(dict(zip(names(TRACKS), (
                number + 1, float(second), (330 + 25 * number + 0.9 * second) % 360, -5.0, 2.5, 3.0, second % 2, name, "smoother"
            ), strict=True)))  # fmt: skip
    write_table(folder / "detections.csv", names(DETECTIONS), detections)
    write_table(folder / "tracks.csv", names(TRACKS), tracks)
    write_table(folder / "recordings.csv", names(RECORDINGS), recordings)
    return folder
