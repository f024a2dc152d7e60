"""Rows of a table of hydrophones, as spreadsheets and editors write them. Every cell is read, or refused by its name."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

from whalefinder.errors import ArrayError
from whalefinder.words import count

Row = dict[str, str]
DECIMAL_COMMA = re.compile(r"[-+]?\d+(,\d+)?")
"""A number of which commas may be decimal points."""


def rows_of(path: Path, text: str) -> list[Row]:
    """Every row as a dictionary by column. Three columns without a header are x, y, z.

    Raises:
        ArrayError: the text is no table, or a row has other columns than the header.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    cells = [[cell.strip() for cell in row] for row in _cells(lines)]
    if not cells:
        raise ArrayError(f"{path}: holds no hydrophones; one line per hydrophone is needed, with x, y, z in metres")
    if all(map(_is_number, cells[0])):
        header = ["x", "y", "z"]
        if len(cells[0]) != 3:
            raise ArrayError(
                f"{path}: {len(cells[0])} columns without a header; give x, y, z in metres, or name the columns "
                "(where commas are decimal points, divide cells by semicolons)"
            )
    else:
        header, *cells = cells
    if not cells:
        raise ArrayError(f"{path}: holds a header and no hydrophones; one line per hydrophone is needed")
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        raise ArrayError(f"{path}: has two columns {twice!r}; take one away")
    return [_row(path, number, header, row) for number, row in enumerate(cells, start=1)]


def _row(path: Path, number: int, header: list[str], row: list[str]) -> Row:
    said = f"{path}: hydrophone {number} has {len(row)} of {count(len(header), 'column')}"
    if len(row) < len(header):
        raise ArrayError(f"{said}; complete it")
    if any(row[len(header) :]):
        raise ArrayError(
            f"{said}; divide them by semicolons where commas are decimal points, or name the other columns"
        )
    return dict(zip(header, row, strict=False))


def _cells(lines: list[str]) -> list[list[str]]:
    divider = None
    if lines and (said := re.fullmatch(r'"?sep=(.)"?\s*', lines[0], re.IGNORECASE)):  # a line of Excel
        divider, lines = said[1], lines[1:]
    if not lines:
        return []
    if divider is None:
        divider = next((sign for sign in ";\t" if sign in lines[0]), None)
    if divider is None and "," in lines[0] and not _decimal_commas(lines[0].split()):
        divider = ","
    rows = [line.split() for line in lines] if divider is None else list(csv.reader(lines, delimiter=divider))
    return rows if divider == "," else [[cell.replace(",", ".") for cell in row] for row in rows]


def _decimal_commas(cells: list[str]) -> bool:
    return len(cells) > 1 and all(map(DECIMAL_COMMA.fullmatch, cells))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def numbers(rows: list[Row], column: str, unit: str) -> list[float]:
    """The numbers of a column.

    Raises:
        ArrayError: a cell is empty or no number. The line names its hydrophone and column.
    """
    for k, row in enumerate(rows, start=1):
        if not _is_number(row[column]):
            raise ArrayError(
                f"hydrophone {k}: {column} = {row[column]!r} is no number; give {unit} without the unit, such as 1.5"
            )
    return [float(row[column]) for row in rows]


def whole_numbers(rows: list[Row], column: str) -> list[int]:
    """The whole numbers of a column, such as channels.

    Raises:
        ArrayError: a cell is empty or no whole number.
    """
    found = numbers(rows, column, "a channel")
    for k, value in enumerate(found, start=1):
        if value != int(value) or value < 0:
            raise ArrayError(f"hydrophone {k}: {column} = {value:g} is no channel; channels are whole numbers from 1")
    return [int(value) for value in found]
