"""The folder of an archive: one result for each unit. Files are never half written.

    DIR/plan.json       the recordings and units, for the merge
    DIR/units/*.jsonl   the result of a unit; a unit is done if its file exists
    DIR/units/*.failed  why a unit has no result
    DIR/lock            locked by the process that works here

A file is first written under another name and flushed to the disk. Then it gets its own name, and the folder is flushed
too. So after a power cut there is the old file, the new file or none, and perhaps a file of another name, which the
next run deletes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from whalefinder.archive.units import Unit
from whalefinder.files import replacing, writing
from whalefinder.results.ambiguity import Cone, Lobe, Mirror
from whalefinder.results.records import Bearing, Detection

PART = ".part"


@dataclass
class Result:
    """The result of a unit: pairs (piece, detection), problems of its recordings as pairs (name, reason), rows of `health.csv`.

    Times of a detection count from the start of the recording in which it begins. The merge adds `start_utc`.
    """

    detections: list[tuple[int, Detection]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    health: list[dict[str, Any]] = field(default_factory=list)


AMBIGUITIES: dict[str, Any] = {kind.__name__: kind for kind in (Cone, Mirror, Lobe)}


@dataclass(frozen=True)
class Failure:
    """Why a unit has no result: name of the recording, and reason."""

    name: str
    reason: str


class Store:
    """The results of units in a folder.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.units = out, out / "units"
        with writing(out):
            self.units.mkdir(parents=True, exist_ok=True)

    def path(self, unit: Unit) -> Path:
        """Path of the result of a unit."""
        # The name does not contain the time, since another `time_format` changes the time but not the result.
        return self.units / f"{unit.id}.jsonl"

    def done(self, units: tuple[Unit, ...]) -> set[str]:
        """Ids of the units that have a result."""
        there = {path.name for path in self.units.iterdir()}
        return {unit.id for unit in units if f"{unit.id}.jsonl" in there}

    def save(self, unit: Unit, result: Result) -> None:
        """Write the result of a unit, as a whole or not at all.

        Raises:
            OutputError: the disk is full, or writing is not allowed.
        """
        # Places in the unit instead of names, since names can change when a folder with the same file names is added.
        places = {entry.name: [p, k] for p, piece in enumerate(unit.pieces) for k, entry in enumerate(piece.entries)}
        lines: list[dict[str, Any]] = [{"unit": unit.id}]
        lines += [{"piece": p, "at": places[d.recording], **_to_json(d)} for p, d in result.detections]
        lines += [{"problem": reason, "at": places[name]} for name, reason in result.problems]
        lines += [{"health": row, "at": places[row["recording"]]} for row in result.health]
        lines.append({"end": len(lines)})
        with atomic(self.path(unit)) as file:
            file.writelines(json.dumps(line, default=float) + "\n" for line in lines)
        self._failed(unit).unlink(missing_ok=True)

    def fail(self, unit: Unit, failure: Failure) -> None:
        """Write down why a unit has no result. A later result deletes this note.

        Raises:
            OutputError: it cannot be written.
        """
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
        """The result of a unit, or None if there is none. A damaged result is deleted, so that it is made again."""
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
        problems = [(line["recording"], line["problem"]) for line in lines if "problem" in line]
        health = [{**line["health"], "recording": line["recording"]} for line in lines if "health" in line]
        return Result(found, problems, health)

    def sweep(self) -> None:
        """Delete incomplete files that were left by killed processes."""
        for folder in (self.out, self.units):
            for path in folder.glob(f".*{PART}"):
                path.unlink(missing_ok=True)


def _to_json(detection: Detection) -> dict[str, Any]:
    values = {**asdict(detection), "start_utc": None}
    if detection.bearing is not None and detection.bearing.ambiguity is not None:
        values["bearing"]["ambiguity"]["type"] = type(detection.bearing.ambiguity).__name__
    return values


def _from_json(values: dict[str, Any]) -> Detection:
    bearing = values.pop("bearing")
    if bearing is None:
        return Detection(**values)
    if (ambiguity := bearing.pop("ambiguity")) is not None:
        kind = AMBIGUITIES[ambiguity.pop("type")]
        ambiguity = kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in ambiguity.items()})
    return Detection(**values, bearing=Bearing(**bearing, ambiguity=ambiguity))


@contextmanager
def atomic(path: Path) -> Iterator[IO[str]]:
    """Open a text file that gets its name only when it is complete and on the disk. Its folder is flushed too.

    Raises:
        OutputError: it cannot be written. The file that was there before stays.
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
