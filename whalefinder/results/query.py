"""Queries of results in SQL, by DuckDB. They only read, on this machine, and do not use the network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whalefinder.errors import OptionError
from whalefinder.optional import needs
from whalefinder.results.dataset import TABLES, WHEN, day_of, open_dataset, read_output
from whalefinder.results.formats import arrow_table
from whalefinder.results.schema import Column

LOCKS = (
    "python_enable_replacements = false",  # otherwise a query could read variables of this program
    "autoload_known_extensions = false",
    "autoinstall_known_extensions = false",
    "enable_external_access = false",  # no files, no network; the views are registered before
    "lock_configuration = true",
)

TELLING = (
    "recording", "track", "begin_s", "time_s", "label", "azimuth_deg", "elevation_deg", "probability", "azimuth_sd_deg",
    "start_utc",
)  # fmt: skip
"""Columns that are shown first if the screen is narrow."""
KNOWN = frozenset(column.name for columns in TABLES.values() for column in columns) | {"deployment", "day"}


@dataclass(frozen=True)
class Answer:
    """The result of a query: names of the columns, and rows."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def only(self, columns: Sequence[str]) -> Answer:
        """The same rows with these columns, in this order.

        Raises:
            OptionError: the answer does not have one of the columns.
        """
        unknown = [name for name in columns if name not in self.columns]
        if unknown:
            raise OptionError(f"column {unknown[0]!r} is not in the answer; it has {', '.join(self.columns)}")
        places = [self.columns.index(name) for name in columns]
        return Answer(tuple(columns), [tuple(row[place] for place in places) for row in self.rows])

    def fitting(self, width: int) -> Answer:
        """The most important columns that fit a table of `width` characters, in their order; at least one column."""
        kept: list[str] = []
        left = width - 1  # the frame
        for name in sorted(self.columns, key=self._rank):
            place = self.columns.index(name)
            needed = max([len(name), *(len(text_of(row[place])) for row in self.rows)]) + 3
            if needed <= left or not kept:
                kept.append(name)
                left -= needed
        return self.only([name for name in self.columns if name in kept])

    def _rank(self, name: str) -> int:
        """Rank of a column: those that the query computed come first, those that are empty in all rows come last."""
        place = self.columns.index(name)
        if self.rows and all(row[place] in (None, "") for row in self.rows):
            return len(TELLING) + 2
        if name in TELLING:
            return TELLING.index(name) + 1
        return len(TELLING) + 1 if name in KNOWN else 0


def text_of(cell: Any) -> str:
    """A cell as text: times as in the other tables, an empty text for None."""
    if cell is None:
        return ""
    return cell.isoformat(timespec="milliseconds") + "Z" if hasattr(cell, "hour") else str(cell)


def query(sql: str, folder: Path) -> Answer:
    """Answer one SELECT over the views `detections`, `tracks` and `recordings`.

    Args:
        sql: a query in DuckDB's SQL. It can read only the views: no files and no web addresses.
        folder: a data set (`results.write_dataset`), or an output folder with `detections.csv`.

    Raises:
        OptionError: DuckDB is missing, the folder holds no results, or the query cannot be answered.
    """
    needs("duckdb", what="query")
    import duckdb

    with duckdb.connect(":memory:") as connection:
        for name, view in _views(folder, sql):
            connection.register(name, view)
        for lock in LOCKS:
            connection.execute(f"SET {lock}")
        try:
            statements = connection.extract_statements(sql)
            allowed = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
            if len(statements) != 1 or statements[0].type not in allowed:
                raise OptionError("query: more than one SELECT, or another command; give a single SELECT")
            found = connection.execute(statements[0])
            return Answer(tuple(entry[0] for entry in found.description or ()), found.fetchall())
        except duckdb.Error as reason:
            # The first paragraph of the message says what is wrong. The rest draws an arrow under the query.
            raise OptionError(f"query: {' '.join(str(reason).split(chr(10) * 2)[0].split())}") from reason


def _views(folder: Path, sql: str) -> Iterator[tuple[str, Any]]:
    """Every table as Arrow, from a data set of Parquet files or from CSV, with the same columns in both cases."""
    if (folder / "detections").is_dir():
        for name, columns in TABLES.items():
            yield name, open_dataset(folder, name) if (folder / name).is_dir() else arrow_table([], _whole(columns))
    elif (folder / "detections.csv").is_file():
        deployment = folder.absolute().name
        # CSV files are read as a whole, so only the tables that the query names are read.
        for name, rows in read_output(folder, [name for name in TABLES if name in sql.lower()]).items():
            for row in rows:
                row |= {"deployment": deployment, "day": day_of(row[WHEN[name]])}
            yield name, arrow_table(rows, _whole(TABLES[name]))
    else:
        raise OptionError(f"{folder}: holds neither a data set nor detections.csv; give the folder that a run wrote")


def _whole(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    return (*columns, Column("deployment", "text", "", "as collected"), Column("day", "text", "", "or 'unknown'"))
