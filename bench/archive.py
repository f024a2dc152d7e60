"""Archives: the time of planning, the gain by a second worker, and the memory that each worker needs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from bench.speed import _write
from whalefinder.archive.job import make_job
from whalefinder.archive.plan import make_plan
from whalefinder.options import LocateOptions

FILES = 1000
RECORDINGS, MINUTES = 8, 10
START = datetime(2026, 7, 1, tzinfo=UTC)


def table(long: bool, recordings: int = RECORDINGS, minutes: float = MINUTES) -> str:
    """The table for `recordings` of `minutes` each. There is one recording per hour, so each is a unit.

    With `long` there are six times as many.
    """
    recordings *= 6 if long else 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sound, array = _archive(folder, recordings, minutes)
        rows = []
        for words, workers, threads in (
            ("one worker, one thread", 1, 1),
            ("one worker, all cores", 1, os.cpu_count() or 1),
            ("two workers, one thread each", 2, 1),
        ):
            seconds, megabytes = _run(sound, array, folder / f"out-{workers}-{threads}", workers, threads)
            rows.append((words, recordings * minutes * 60 / seconds, megabytes))
        same = _same_bytes(folder)
        planned = _plan_seconds(folder / "many")
    alone, cores, two = (rate for _, rate, _ in rows)
    lines = [
        "## Archives",
        "",
        f"`whalefinder archive` on {recordings} recordings of {minutes:g} minutes (4 channels, 48 kHz, 16 bit), {os.cpu_count()} cores. "
        "The whole command is measured, from start to tables. Memory is the peak of the largest process.",
        "",
        "| who works | × real time | memory |",
        "|" + " --- |" * 3,
        *(f"| {words} | {rate:.0f} | {megabytes:.0f} MB |" for words, rate, megabytes in rows),
        "",
        f"Two workers are {two / alone:.2f} times as fast as one worker with one thread, and {two / cores:.2f} times as fast as one "
        f"with all cores. Their tables are {'the same bytes' if same else 'NOT the same bytes'}. The plan of {FILES} files takes "
        f"{planned:.1f} s.",
    ]
    return "\n".join(lines)


def _archive(folder: Path, recordings: int, minutes: float) -> tuple[Path, Path]:
    path, array = _write(folder, minutes / 60)
    sound = folder / "sound"
    sound.mkdir()
    for hour in range(recordings):
        os.link(path, sound / f"sea_{START + timedelta(hours=hour):%Y%m%d_%H%M%S}.wav")
    return sound, array


def _run(sound: Path, array: Path, out: Path, workers: int, threads: int) -> tuple[float, float]:
    """Seconds that the command takes, and the largest memory of one of its processes in MB."""
    code = "from whalefinder.cli import main; main()"
    command = [sys.executable, "-c", code, "archive", sound, "-a", array, "-o", out, "--workers", workers, "--quiet"]
    began, peak = time.monotonic(), 0
    with subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    ) as process:
        while process.poll() is None:
            peak = max([peak, *map(_resident, _family(process.pid))])
            time.sleep(0.1)
        said = process.stderr.read() if process.stderr else ""
    if process.returncode:
        raise RuntimeError(f"whalefinder archive ended with {process.returncode}: {said}")
    return time.monotonic() - began, peak / 2**20


def _family(pid: int) -> list[psutil.Process]:
    try:
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _same_bytes(folder: Path) -> bool:
    outputs = sorted(folder.glob("out-*"))
    return len({(out / "detections.csv").read_bytes() for out in outputs}) == 1


def _plan_seconds(folder: Path) -> float:
    """Seconds to plan 1,000 files that follow each other, by their headers alone."""
    folder.mkdir()
    path, _ = _write(folder, 1 / 60)
    for minute in range(FILES):
        os.link(path, folder / f"sea_{START + timedelta(minutes=minute):%Y%m%d_%H%M%S}.wav")
    path.unlink()
    began = time.monotonic()
    plan = make_plan([str(folder)], make_job(None, LocateOptions()))
    seconds = time.monotonic() - began
    if len(plan.entries) != FILES or len(plan.units) != -(-FILES // 60):
        raise RuntimeError(f"{len(plan.entries)} recordings in {len(plan.units)} units were planned")
    return seconds
