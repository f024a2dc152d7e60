"""Processes that are really killed: whatever dies, and wherever, the next run ends with the same bytes."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.archives import environment, found_in, make_archive, start, tables

HOURS = 4
PATIENCE_S = 240.0

DIE_AT_RENAME = """
import os, pathlib, signal
rename, units = pathlib.Path.replace, []
def dying(self, target):
    if "units" in str(target):
        units.append(target)
        if len(units) == {count}:
            if {after}: rename(self, target)
            os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
pathlib.Path.replace = dying
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """An archive of some units, and its tables made by a run that nothing happened to."""
    folder = make_archive(tmp_path_factory.mktemp("kill"), HOURS)
    found_in(folder, folder.parent / "reference")
    return folder, tables(folder.parent / "reference")


def wait_for(what, process=None):
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < PATIENCE_S, "nothing happened"
        assert process is None or process.poll() is None, process.stdout.read()
        time.sleep(0.02)


def results(out):
    return len(list((out / "units").glob("*.jsonl"))) if (out / "units").is_dir() else 0


def finish(folder, out, expected, missing):
    """Run again, in this process: only what is missing is worked on, and the tables are as if nothing had happened."""
    assert HOURS - results(out) == missing
    summary = found_in(folder, out)
    assert summary.done == HOURS and tables(out) == expected
    assert {path.suffix for path in (out / "units").iterdir()} == {".jsonl"}  # nothing half-written, no failure
    assert results(out) == HOURS


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_power_cut_at_the_rename_of_a_result(sound, tmp_path, after):
    folder, expected = sound
    process = start(
        folder, "-a", folder.parent / "array.toml", "-o", tmp_path, patch=DIE_AT_RENAME.format(count=2, after=after)
    )
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGKILL and not (tmp_path / "detections.csv").exists()
    assert bool(list((tmp_path / "units").glob(".*.part"))) != after
    finish(folder, tmp_path, expected, missing=HOURS - 1 - after)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_says_how_to_go_on(sound, tmp_path, workers):
    folder, expected = sound
    process = start(folder, "-a", folder.parent / "array.toml", "-o", tmp_path, "--workers", workers)
    wait_for(lambda: results(tmp_path) > 0, process)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=PATIENCE_S)
    done = results(tmp_path)
    assert process.returncode == 130 and f"{done} of {HOURS} units are done; run the same command again" in said, said
    assert "Traceback" not in said
    finish(folder, tmp_path, expected, missing=HOURS - done)


def workers_of(process):
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_a_killed_worker_is_replaced(sound, tmp_path):
    folder, expected = sound
    process = start(folder, "-a", folder.parent / "array.toml", "-o", tmp_path, "--workers", 2)
    wait_for(lambda: results(tmp_path) > 0, process)
    workers_of(process)[0].kill()
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0 and f"{HOURS} of {HOURS} units" in said and "Traceback" not in said, said
    assert tables(tmp_path) == expected


POISON = """
import sys
if any("spawn_main" in word for word in sys.orig_argv):
    import os, signal, soundfile
    class Deadly(soundfile.SoundFile):
        def __init__(self, file, *rest):
            if "110000" in str(file): os.kill(os.getpid(), signal.SIGKILL)
            super().__init__(file, *rest)
    soundfile.SoundFile = Deadly
"""


def test_a_recording_that_kills_every_worker_is_listed_and_the_others_are_done(sound, tmp_path):
    folder, _ = sound
    (tmp_path / "sitecustomize.py").write_text(POISON)
    arguments = (folder, "-a", folder.parent / "array.toml", "-o", tmp_path / "out", "--workers", 2)
    said, _ = (process := start(*arguments, before=(tmp_path,))).communicate(timeout=PATIENCE_S)
    assert process.returncode == 1 and results(tmp_path / "out") == HOURS - 1, said
    assert "swim_20260701_110000.wav: its workers died again and again" in said and "Traceback" not in said


def test_a_killed_client_takes_its_workers_along(sound, tmp_path):
    folder, expected = sound
    process = start(folder, "-a", folder.parent / "array.toml", "-o", tmp_path, "--workers", 2)
    wait_for(lambda: results(tmp_path) > 0, process)
    orphans = workers_of(process)
    assert len(orphans) == 2
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    wait_for(lambda: not any(orphan.is_running() and orphan.status() != psutil.STATUS_ZOMBIE for orphan in orphans))
    finish(folder, tmp_path, expected, missing=HOURS - results(tmp_path))


def test_a_killed_scheduler_is_said_and_the_next_run_needs_none(sound, tmp_path):
    folder, expected = sound
    out, about = tmp_path / "out", tmp_path / "scheduler.json"
    dask = [
        sys.executable,
        "-m",
        "distributed.cli.dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
    ]
    quiet = {"env": environment(), "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen([*dask, "--scheduler-file", str(about)], **quiet)
    worker = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(about), "--no-nanny",
         "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"], **quiet,
    )  # fmt: skip
    try:
        wait_for(lambda: about.exists() and about.stat().st_size > 0)
        import json

        address = json.loads(about.read_text())["address"]
        process = start(folder, "-a", folder.parent / "array.toml", "-o", out, "--scheduler", address)
        wait_for(lambda: results(out) > 0, process)
        os.kill(scheduler.pid, signal.SIGKILL)
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert (
            process.returncode == 1
            and "the scheduler is lost; finished units are kept" in said
            and "Traceback" not in said
        )
    finally:
        for each in (scheduler, worker):
            each.kill()
            each.wait()
    finish(folder, out, expected, missing=HOURS - results(out))
