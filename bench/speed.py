"""Speed and memory of the whole command `whalefinder locate`, and of SRP-PHAT on the same file in the same run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyroomacoustics as pra
import soundfile
import torch

from bench.scenes import CELLS, make_array, recording_of
from whalefinder.array.array_file import save_array
from whalefinder.array.geometry import HydrophoneArray, tetrahedron
from whalefinder.bearings.event_bearing import find_bearing
from whalefinder.bearings.regression import load_regressor
from whalefinder.calls.events import EventSettings, find_events
from whalefinder.calls.masks import CALL, masks_of
from whalefinder.networks.weights import load_network
from whalefinder.sea.scene import simulate
from whalefinder.sea.writing import Plan, draw_scene
from whalefinder.sound import spectrogram

MINUTE_S = 60.0


def table(long: bool) -> str:
    """The table for 10 minutes and 1 hour, and with `long` also for 10 hours."""
    lines = [
        "## Speed and memory",
        "",
        "4 channels, 48 kHz, 16 bit, 4 calls per minute, 2 boats. The whole command is measured, from the file to tables and picture.",
        "",
    ]
    lines += ["| recording | × real time | peak memory |", "|" + " --- |" * 3]
    with tempfile.TemporaryDirectory() as folder:
        for hours in (1 / 6, 1.0, 10.0) if long else (1 / 6, 1.0):
            path, array = _write(Path(folder), hours)
            seconds, megabytes = _locate(path, array, Path(folder) / "out")
            lines.append(f"| locate, {hours * 60:.0f} min | {hours * 3600 / seconds:.0f} | {megabytes:.0f} MB |")
            path.unlink()
        path, _ = _write(Path(folder), 1 / 60)
        lines.append(f"| pyroomacoustics SRP-PHAT, 1-s hop, 2° grid | {_srp(path):.1f} | – |")
    return "\n".join([*lines, "", bearings_line()])


def bearings_line() -> str:
    """A sentence on the time of one bearing on one thread, by steering and by the regressor, on the same calls."""
    torch.set_num_threads(1)
    array, network = make_array("tetrahedron", 1.5), load_network().folded()
    regression = load_regressor(array)
    valid = torch.ones(spectrogram.NUM_BINS, dtype=torch.bool)
    rows = []
    for trial in range(8):
        _, _, sea = recording_of(CELLS[1], "dev", trial)
        masks = masks_of(network, torch.from_numpy(sea.samples).float(), valid)
        for event in find_events(masks.shares[CALL].numpy(), EventSettings()):
            span = (..., slice(event.begin, event.end))
            rows.append(
                [
                    _milliseconds(find_bearing, masks, event, array, network),
                    _milliseconds(find_bearing, masks, event, array, network, regression),
                    _milliseconds(regression.find_direction, masks.spectra[span], masks.shares[CALL][span]),
                ]
            )
    steering, judged, alone = np.median(rows, axis=0)
    return (
        f"Time of one bearing ({CELLS[1].name}, {len(rows)} calls, median): steering {steering:.0f} ms. The regressor takes "
        f"{judged:.0f} ms with the rough direction that the events need ({steering / judged:.1f} times faster), and {alone:.0f} ms "
        f"without it ({steering / alone:.0f} times)."
    )


def _milliseconds(work: Callable[..., object], *arguments: object) -> float:
    began = time.perf_counter()
    work(*arguments)
    return 1e3 * (time.perf_counter() - began)


def _write(folder: Path, hours: float) -> tuple[Path, Path]:
    array = HydrophoneArray(name="tetrahedron", positions_m=tetrahedron(0.5), sound_speed_m_s=1490.0, depth_m=1.5)
    save_array(array, folder / "array.toml")
    sea = simulate(
        draw_scene(Plan(seconds=MINUTE_S, calls=4, boats=2, snr_db=8.0, sir_db=-5.0), array, 1_000_000_000),
        1_000_000_000,
    )
    block = (sea.samples.T / np.abs(sea.samples).max() * 0.5).astype(np.float32)
    path = folder / f"sea_{hours:.2f}h.wav"
    with soundfile.SoundFile(path, "w", spectrogram.RATE_HZ, 4, "PCM_16", format="RF64") as file:
        for _ in range(max(1, round(hours * 3600 / MINUTE_S))):
            file.write(block)
    return path, folder / "array.toml"


def _locate(path: Path, array: Path, out: Path) -> tuple[float, float]:
    """Seconds and peak memory in MB of one run in a separate process."""
    code = (
        "import resource, sys, whalefinder.cli as c\n"
        "try:\n    c.app(sys.argv[1:])\n"
        "except SystemExit as done:\n    assert not done.code, done.code\n"
        "sys.stderr.write('PEAK %d' % resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    command = [sys.executable, "-c", code, "locate", str(path), "--array", str(array), "--out", str(out), "--quiet"]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.monotonic() - began, int(done.stderr.rsplit("PEAK ", 1)[1]) / 1024


def _srp(path: Path) -> float:
    """Speed of SRP-PHAT on the recording in steps of 1 s, in times real time."""
    samples, rate = soundfile.read(path, dtype="float32")
    positions = tetrahedron(0.5)
    azimuth, colatitude = np.radians(np.arange(0, 360, 2.0)), np.radians(np.arange(90, 180.1, 2.0))
    doa = pra.doa.algorithms["SRP"](
        positions.T, rate, 1024, c=1490.0, num_src=1, dim=3, azimuth=azimuth, colatitude=colatitude
    )
    began = time.monotonic()
    seconds = min(10, len(samples) // rate)
    for second in range(seconds):
        piece = samples[second * rate : (second + 1) * rate]
        doa.locate_sources(pra.transform.stft.analysis(piece, 1024, 512).transpose(2, 1, 0), freq_range=[500, 12_000])
    return seconds / (time.monotonic() - began)
