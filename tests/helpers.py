"""What several tests need: real data where it is, small recordings, one tolerance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from whalefinder.array.geometry import HydrophoneArray, tetrahedron
from whalefinder.training.clips import data_folder

RATE = 48_000


def needs_data(*parts: str) -> Path:
    """Path in the data folder; skips, and says so, where it is absent."""
    path = data_folder().joinpath(*parts)
    if not path.exists():
        pytest.skip(f"real recordings are absent: {path} (set WHALEFINDER_DATA)")
    return path


def array(depth_m: float | None = 1.5) -> HydrophoneArray:
    return HydrophoneArray(name="tetrahedron", positions_m=tetrahedron(0.5), sound_speed_m_s=1490.0, depth_m=depth_m)


def noise(channels: int = 4, seconds: float = 3.0, rate: int = RATE, seed: int = 0) -> np.ndarray:
    return 0.01 * np.random.default_rng(seed).standard_normal((round(seconds * rate), channels))


def write(path: Path, samples: np.ndarray, rate: int = RATE, **kind: str) -> Path:
    soundfile.write(path, samples, rate, **kind)
    return path
