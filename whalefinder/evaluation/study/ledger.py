"""The table of finished runs. It is written after every run, so a study that was stopped continues where it was."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from whalefinder.errors import OutputError
from whalefinder.files import writing

Row = dict[str, Any]
KEY = ("part", "run", "seed")
COLUMNS = (
    *KEY,
    "test",
    "train_images",
    "train_orca",
    "steps",
    "training_loss",
    "test_loss",
    "accuracy",
    "recall",
    "specificity",
    "precision",
    "f1",
    "f1_low",
    "f1_high",
    "average_precision",
    "roc_area",
    "threshold",
    "seconds",
)
CURVE_COLUMNS = (*KEY, "step", "epoch", "training_loss", "validation_loss", "test_loss")


class Ledger:
    """The rows of one CSV file. All rows of a run are written together.

    Raises:
        OutputError: the file cannot be written, or it has the columns of another version.
    """

    def __init__(self, path: Path, columns: Sequence[str] = COLUMNS) -> None:
        self.path, self.columns = path, tuple(columns)
        self.rows: list[Row] = []
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                self.rows = self._read()
            else:
                self._append([self.columns])

    def _read(self) -> list[Row]:
        with self.path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if tuple(rows.fieldnames or ()) != self.columns:
                raise OutputError(
                    f"{self.path}: its columns are of another version; remove the file or choose another folder"
                )
            return [{name: _number(text) for name, text in row.items()} for row in rows]

    def _append(self, lines: Iterable[Sequence[Any]]) -> None:
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(lines)

    def of(self, **wanted: Any) -> list[Row]:
        """The rows in which the given columns have the given values."""
        return [row for row in self.rows if all(row[name] == value for name, value in wanted.items())]

    def once(self, key: tuple[str, str, int], make: Callable[[], list[Row]]) -> list[Row]:
        """The rows of a run with the key (part, run, seed). If they were not written before, `make` makes them.

        Raises:
            OutputError: they cannot be written.
        """
        named = dict(zip(KEY, key, strict=True))
        if found := self.of(**named):
            return found
        rows = [{**{name: "" for name in self.columns}, **named, **row} for row in make()]
        rows = [
            {name: round(v, 6) if isinstance(v := row[name], float) else v for name in self.columns} for row in rows
        ]
        with writing(self.path):
            self._append([[row[name] for name in self.columns] for row in rows])
        self.rows += rows
        return rows


def _number(text: str) -> Any:
    try:
        value = float(text)
    except ValueError:
        return text
    return int(text) if text.lstrip("-").isdigit() else value
