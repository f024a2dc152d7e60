"""Reading and writing the plan as a file in the folder of results. So results can be merged without the recordings."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from whalefinder.archive.plan import Plan
from whalefinder.archive.store import atomic
from whalefinder.archive.units import Entry, File, Piece, Unit
from whalefinder.errors import OutputError
from whalefinder.options import LocateOptions

PLAN = "plan.json"
OPTIONS = TypeAdapter(LocateOptions)


def save_plan(plan: Plan, out: Path) -> None:
    """Write the plan. The same plan gives the same bytes.

    Raises:
        OutputError: it cannot be written.
    """
    places = {entry.name: number for number, entry in enumerate(plan.entries)}
    units = [[unit.id, [_piece_to_json(piece, places) for piece in unit.pieces]] for unit in plan.units]
    content = {
        "with_array": plan.with_array,
        "entries": [_entry_to_json(entry) for entry in plan.entries],
        "units": units,
        "unreadable": plan.unreadable,
        "left_out": plan.left_out,
        "remarks": plan.remarks,
        "options": OPTIONS.dump_python(plan.options, mode="json"),
    }
    with atomic(out / PLAN) as file:
        json.dump(content, file, indent=1)


def load_plan(out: Path) -> Plan:
    """Read the plan of the last run.

    Raises:
        OutputError: there is no plan, or it is damaged.
    """
    try:
        content = json.loads((out / PLAN).read_text(encoding="utf-8"))
        entries = tuple(_entry_from_json(values) for values in content["entries"])
        units = tuple(
            Unit(name, tuple(_piece_from_json(values, entries) for values in pieces))
            for name, pieces in content["units"]
        )
        unreadable = tuple((name, reason) for name, reason in content["unreadable"])
        left_out = tuple((name, reason) for name, reason in content["left_out"])
        options = OPTIONS.validate_python(content["options"])
        return Plan(
            entries=entries,
            units=units,
            unreadable=unreadable,
            left_out=left_out,
            with_array=content["with_array"],
            options=options,
            remarks=tuple(content.get("remarks", ())),
        )
    except (OSError, ValueError, KeyError, TypeError) as reason:
        raise OutputError(f"{out / PLAN}: no readable plan; plan the archive into this folder first") from reason


def _piece_to_json(piece: Piece, places: dict[str, int]) -> list[Any]:
    return [[places[entry.name] for entry in piece.entries], piece.own, piece.read, piece.joined]


def _piece_from_json(values: list[Any], entries: tuple[Entry, ...]) -> Piece:
    used, own, read, joined = values
    return Piece(tuple(entries[k] for k in used), tuple(own), tuple(read), tuple(joined))


def _entry_to_json(entry: Entry) -> dict[str, Any]:
    return {**asdict(entry), "start_utc": None if entry.start_utc is None else entry.start_utc.isoformat()}


def _entry_from_json(values: dict[str, Any]) -> Entry:
    start = values["start_utc"]
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    fields["jumps"] = tuple((at, length) for at, length in values["jumps"])
    fields["files"] = tuple(File(**file) for file in values["files"])
    fields["start_utc"] = None if start is None else datetime.fromisoformat(start)
    return Entry(**fields)
