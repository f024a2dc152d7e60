"""The folder of an archive: one result a unit, and nothing in it half written.

    DIR/plan.json       what the archive holds, for the merge
    DIR/units/*.jsonl   one file a unit, whole or not there; its being there is the journal
    DIR/units/*.failed  why a unit has none
    DIR/lock            held by who works here

A file is written under another name, flushed to the disk, and only then given its own; the folder is flushed too. After
a power cut there is the old file, the new one or none, and a file of another name that the next run deletes.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from whalefinder.archive.units import Unit
from whalefinder.errors import OutputError
from whalefinder.files import replacing, writing
from whalefinder.results.records import Bearing, Detection

PART = ".part"


@dataclass
class Result:
    """What came of a unit: (piece, detection) pairs and what is wrong with its recordings, (name, reason).

    Times of detections are of the recording in which they begin; `start_utc` is left to the merge.
    """

    detections: list[tuple[int, Detection]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Failure:
    """Why a unit has no result: (recording, reason)."""

    name: str
    reason: str


class Store:
    """The results in a folder."""

    def __init__(self, out: Path) -> None:
        self.out, self.units = out, out / "units"
        with writing(out):
            self.units.mkdir(parents=True, exist_ok=True)

    def path(self, unit: Unit) -> Path:
        """Where the result of a unit is."""
        # Not by its time, which may be read anew (`--time-format`) without a change of what was heard.
        return self.units / f"{unit.id}.jsonl"

    def done(self, units: tuple[Unit, ...]) -> set[str]:
        """The ids of those units whose result is there."""
        there = {path.name for path in self.units.iterdir()}
        return {unit.id for unit in units if f"{unit.id}.jsonl" in there}

    def save(self, unit: Unit, result: Result) -> None:
        """Write the result of a unit; it is there whole or not at all.

        Raises:
            OutputError: the disk is full, or writing is not allowed.
        """
        # Places instead of names, which may change: another folder beside it may hold files that are called the same.
        places = {entry.name: [p, k] for p, piece in enumerate(unit.pieces) for k, entry in enumerate(piece.entries)}
        lines: list[dict[str, Any]] = [{"unit": unit.id}]
        lines += [{"piece": p, "at": places[d.recording], **_to_json(d)} for p, d in result.detections]
        lines += [{"problem": reason, "at": places[name]} for name, reason in result.problems]
        lines.append({"end": len(lines)})
        with atomic(self.path(unit)) as file:
            file.writelines(json.dumps(line, default=float) + "\n" for line in lines)
        self._failed(unit).unlink(missing_ok=True)

    def fail(self, unit: Unit, failure: Failure) -> None:
        """Note why a unit has no result, for whoever writes the tables; a later result takes it away."""
        with atomic(self._failed(unit)) as file:
            json.dump(asdict(failure), file)

    def failure(self, unit: Unit) -> Failure:
        """Why a unit has no result."""
        try:
            return Failure(**json.loads(self._failed(unit).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return Failure(unit.recording, "no result yet; run again, with `shard` the shard that it belongs to")

    def _failed(self, unit: Unit) -> Path:
        return self.units / f"{unit.id}.failed"

    def load(self, unit: Unit) -> Result | None:
        """The result of a unit; None where there is none or it is damaged, and then it is deleted to be made again."""
        path = self.path(unit)
        try:
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            if lines[0] != {"unit": unit.id} or lines[-1] != {"end": len(lines) - 1}:
                raise ValueError("cut off")
            for line in lines[1:-1]:
                p, k = line.pop("at")
                line["recording"] = unit.pieces[p].entries[k].name
            found = [(line.pop("piece"), _from_json(line)) for line in lines if "piece" in line]
        except FileNotFoundError:
            return None
        except (ValueError, IndexError, TypeError, KeyError):
            path.unlink(missing_ok=True)
            return None
        return Result(found, [(line["recording"], line["problem"]) for line in lines if "problem" in line])

    def sweep(self) -> None:
        """Delete what writers that died had begun."""
        for folder in (self.out, self.units):
            for path in folder.glob(f".*{PART}"):
                path.unlink(missing_ok=True)


def _to_json(detection: Detection) -> dict[str, Any]:
    return {**asdict(detection), "start_utc": None}


def _from_json(values: dict[str, Any]) -> Detection:
    bearing = values.pop("bearing")
    return Detection(**values, bearing=None if bearing is None else Bearing(**bearing))


@contextmanager
def atomic(path: Path) -> Iterator[IO[str]]:
    """A text file that gets its name when it is whole and on the disk; its folder's entry is on the disk too.

    Raises:
        OutputError: it cannot be written; what was there before is there still.
    """
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        yield file
    with writing(path):
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def locked(out: Path, shard: str | None = None) -> Iterator[None]:
    """The folder for one run alone, or for one run of each shard. A lock ends with its process, however that dies.

    Raises:
        OutputError: another run works here.
    """
    with contextlib.ExitStack() as stack:
        try:
            _lock(stack, out / "lock", shared=shard is not None)
            if shard is not None:
                _lock(stack, out / f"lock.{shard.replace('/', '-')}", shared=False)
        except BlockingIOError as reason:
            raise OutputError(
                f"{out}: another run works here ({_holder(out)}); wait for it, or choose another `out`"
            ) from reason
        yield


def _lock(stack: contextlib.ExitStack, path: Path, *, shared: bool) -> None:
    try:
        import fcntl
    except ImportError:  # Windows has no such locks
        return
    with writing(path):
        file = stack.enter_context(path.open("a+", encoding="utf-8"))
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # some network disks have no locks
        return
    if not shared:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
        file.flush()


def _holder(out: Path) -> str:
    told = [path.read_text(encoding="utf-8").strip() for path in sorted(out.glob("lock*"))]
    return ", ".join(line for line in told if line) or "its process is unknown"
