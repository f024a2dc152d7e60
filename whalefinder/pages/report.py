"""The page of `whalefinder report`: the results in a folder as one HTML file that needs no network.

tables → figures, charts (`charts`), the clearest calls with their sounds (`call_clip`) → `templates/report.html`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from whalefinder.array.geometry import Floats
from whalefinder.errors import RecordingError
from whalefinder.files import path_shown_as
from whalefinder.pages.page import write_html
from whalefinder.results.ambiguity import is_one_of_two, kind_of
from whalefinder.results.dataset import read_output, starts_of
from whalefinder.results.formats import Row
from whalefinder.results.schema import NO_CALLS
from whalefinder.words import count, duration, printable, rounded

MOST_BEST = 50
"""At most this many calls are shown with picture and sound. Each takes up to 0.4 MB of the page."""
SURE = 0.9
MAX_POINTS = 200  # points of one track that are drawn; more cannot be seen on a screen
LONGEST_TABLE = 30


@dataclass(kw_only=True)
class Results:
    """Tables of one folder, with one time axis for all rows.

    Args:
        calls, tracks, recordings: rows of the tables; `calls` holds only detections that are calls.
        starts: start of each recording in UTC, if it is known.
        offsets_s: start of each recording in seconds if all recordings are put one after the other.
        dated: True if all starts are known. Times are then UTC; otherwise recordings are put one after the other.
    """

    calls: list[Row]
    tracks: list[Row]
    recordings: list[Row]
    starts: dict[str, datetime] = field(default_factory=dict)
    offsets_s: dict[str, float] = field(default_factory=dict)
    dated: bool = True

    def at(self, recording: str, seconds: float) -> float:
        """A time on the charts: days since 1970 (as in matplotlib) if dated, else minutes."""
        if self.dated:
            return (self.starts[recording].timestamp() + seconds) / 86_400
        return (self.offsets_s[recording] + seconds) / 60

    @property
    def hours(self) -> float | None:
        """Hours that were searched, or None if the folder has no table of recordings."""
        return sum(end - begin for begin, end in map(_heard, self.recordings)) / 3600 if self.recordings else None


def _heard(recording: Row) -> tuple[float, float]:
    """The part that was searched, in seconds. Tables of version 0.1 do not say it: then it is the whole recording."""
    end = recording["heard_to_s"]
    return recording["heard_from_s"] or 0.0, recording["duration_s"] if end is None else end


@dataclass(frozen=True)
class Chart:
    """An SVG with a caption. `kind` is its size on the page: `rose`, `long`, `wide` (a row of its own) or empty."""

    caption: str
    svg: str
    kind: str = ""


@dataclass(kw_only=True)
class Part:
    """One part of the page with a heading: charts, sentences, a table."""

    title: str
    charts: list[Chart] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    header: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)


def write_report(
    folder: Path, out: Path | None = None, *, recordings: Sequence[Path] = (), best: int = 12
) -> list[str]:
    """Write the page of a folder of results.

    Args:
        folder: output folder of `locate` or `archive`.
        out: the HTML file, or None for `folder/report.html`.
        recordings: folders or files where the recordings are now, if they have been moved.
        best: number of the clearest calls that are shown with spectrogram and sound, at most `MOST_BEST`.

    Returns:
        One line for each recording that was not found, and so is missing on the page.

    Raises:
        OptionError: the folder holds no results, or jinja2 is missing.
        OutputError: the page cannot be written.
    """
    results = read_results(folder)
    cards, missing = _cards(results, recordings, min(best, MOST_BEST))
    write_html(
        out or folder / "report.html",
        "report.html",
        title=f"Whale calls: {folder.absolute().name}",
        period=_period(results),
        facts=_facts(results),
        parts=[part for part in _parts(results) if part.charts or part.rows or part.words],
        cards=cards,
        missing=missing,
    )
    return missing


def read_results(folder: Path) -> Results:
    """Read the tables of an output folder.

    Raises:
        OptionError: the folder holds no results, or a table cannot be read.
    """
    tables = read_output(folder)
    calls = [row for row in tables["detections"] if row["label"] not in NO_CALLS]
    found = Results(calls=calls, tracks=tables["tracks"], recordings=tables["recordings"], starts=starts_of(tables))
    named = dict.fromkeys(row["recording"] for row in found.recordings + tables["detections"] + found.tracks)
    found.dated = bool(named) and all(name in found.starts for name in named)
    lengths = {row["recording"]: row["duration_s"] for row in found.recordings}
    for row in tables["detections"]:
        lengths[row["recording"]] = max(lengths.get(row["recording"], 0.0), row["end_s"])
    passed = 0.0
    for name in named:
        found.offsets_s[name] = passed
        passed += lengths.get(name, 0.0)
    return found


def _period(results: Results) -> str:
    if not results.dated:
        return "the names of the recordings give no dates, so the recordings are shown one after the other"
    parts = [(results.starts[row["recording"]], *_heard(row)) for row in results.recordings]
    begins = [start + timedelta(seconds=begin) for start, begin, _ in parts]
    ends = [start + timedelta(seconds=end) for start, _, end in parts]
    ends += [results.starts[row["recording"]] + timedelta(seconds=row["end_s"]) for row in results.calls]
    first, last = min(begins or results.starts.values()), max(ends or results.starts.values())
    return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def _facts(results: Results) -> list[tuple[str, str]]:
    facts = [("calls", f"{len(results.calls):,}")]
    if results.hours is not None:
        facts.append(("length of all recordings", duration(3600 * results.hours)))
        if results.hours > 0:
            facts.append(("calls per hour", rounded(len(results.calls) / results.hours, 2)))
        facts.append(("recordings", f"{len(results.recordings):,}"))
    if results.tracks:
        facts.append(("tracks", f"{len({row['track'] for row in results.tracks}):,}"))
    errors = _column(results.calls, "azimuth_sd_deg")
    if np.isfinite(errors).any():
        facts.append(("median stated error of the azimuth", f"{np.nanmedian(errors):.2g}°"))
    return facts


def _column(rows: Sequence[Row], name: str) -> Floats:
    return np.array([np.nan if row[name] is None else row[name] for row in rows], float)


def _parts(results: Results) -> list[Part]:
    if not results.calls:
        return [Part(title="Calls", words=["No calls were found."])]
    return [_when(results), _where(results), _tracks(results), _levels(results)]


def _when(results: Results) -> Part:
    from whalefinder.pages import charts

    part = Part(title="When")
    if not results.dated:
        minutes = np.array([results.at(row["recording"], row["begin_s"]) for row in results.calls])
        total = max(60 * (results.hours or 0.0), float(minutes.max()))
        part.charts.append(Chart("Calls over the time of the recordings.", charts.calls_in_time(minutes, total)))
        return part
    days, counts, listened = _by_hour(results)
    part.charts.append(Chart("Calls per day.", charts.calls_by_day(days, [int(n) for n in counts.sum(0)])))
    part.charts.append(Chart("Calls by hour of the day.", charts.calls_by_hour(days, counts, listened)))
    return part


def _by_hour(results: Results) -> tuple[list[str], Floats, np.ndarray | None]:
    """All days, the number of calls `[hour, day]`, and whether anything was recorded `[hour, day]`."""
    heard = [_hour(results.starts[row["recording"]], row["begin_s"]) for row in results.calls]
    recorded = [
        range(_hour(start, begin), _hour(start, max(begin, end - 1e-3)) + 1)
        for row in results.recordings
        for start, (begin, end) in [(results.starts[row["recording"]], _heard(row))]
    ]
    all_hours = heard + [hour for span in recorded for hour in (span[0], span[-1])]
    first, last = min(all_hours) // 24, max(all_hours) // 24
    counts = np.zeros((last - first + 1, 24))
    np.add.at(counts.ravel(), np.array(heard) - 24 * first, 1)
    listened = np.zeros(counts.shape, bool)
    for span in recorded:
        listened.ravel()[span[0] - 24 * first : span[-1] + 1 - 24 * first] = True
    days = [str(np.datetime64(first + k, "D")) for k in range(len(counts))]
    return days, counts.T, listened.T if recorded else None


def _hour(start: datetime, seconds: float) -> int:
    return int((start.timestamp() + seconds) // 3600)


def _where(results: Results) -> Part:
    from whalefinder.pages import charts

    part = Part(title="From where")
    # With a line or a plane the azimuth is one of two, and may be the wrong one.
    known = [
        row for row in results.calls if row["azimuth_deg"] is not None and not is_one_of_two(kind_of(row["ambiguity"]))
    ]
    left_out = sum(row["azimuth_deg"] is not None for row in results.calls) - len(known)
    if left_out:
        part.words.append(
            f"Not shown, because the direction is ambiguous (column ambiguity): {count(left_out, 'call')}."
        )
    if not known:
        return part
    azimuth = _column(known, "azimuth_deg")
    x = np.array([results.at(row["recording"], (row["begin_s"] + row["end_s"]) / 2) for row in known])
    part.charts.append(
        Chart(
            "Calls by direction, north up. Areas are proportional to the number of calls.", charts.rose(azimuth), "rose"
        )
    )
    many = len(known) > charts.MANY
    caption = "Directions of the calls." if many else "Direction of every call. Bars are one stated standard deviation."
    sd = _column(known, "azimuth_sd_deg")
    part.charts.append(Chart(caption, charts.bearings(x, azimuth, sd, results.dated), "long"))
    return part


def _tracks(results: Results) -> Part:
    from whalefinder.pages import charts

    part = Part(title="Tracks")
    by_track: dict[int, list[Row]] = {}
    for row in results.tracks:
        by_track.setdefault(row["track"], []).append(row)
    if not by_track:
        return part
    lines = []
    for rows in by_track.values():
        rows = rows[:: max(1, len(rows) // MAX_POINTS)]
        x = np.array([results.at(row["recording"], row["time_s"]) for row in rows])
        lines.append((x, _column(rows, "azimuth_deg"), _column(rows, "azimuth_sd_deg")))
    caption = "Tracks of animals. Bands are two stated standard deviations."
    part.charts.append(Chart(caption, charts.tracks(lines, results.dated), "wide"))
    part.header = ("track", "begin", "lasts", "calls", "azimuth", "elevation")
    busiest = sorted(by_track.items(), key=lambda item: (-sum(row["calls"] for row in item[1]), item[0]))
    for number, rows in sorted(busiest[:LONGEST_TABLE]):
        part.rows.append(_track_cells(number, rows, results))
    if len(busiest) > LONGEST_TABLE:
        part.words.append(f"The table has the {LONGEST_TABLE} tracks with the most calls, of {len(busiest):,}.")
    return part


def _track_cells(number: int, rows: list[Row], results: Results) -> tuple[str, ...]:
    first, last = rows[0], rows[-1]
    return (
        str(number),
        _moment(results, first["recording"], first["time_s"]),
        f"{(last['time_s'] - first['time_s']) / 60:.1f} min",
        str(sum(row["calls"] for row in rows)),
        f"{first['azimuth_deg']:.0f}° → {last['azimuth_deg']:.0f}°",
        f"{first['elevation_deg']:.0f}° → {last['elevation_deg']:.0f}°",
    )


def _moment(results: Results, recording: str, seconds: float) -> str:
    start = results.starts.get(recording)
    if start is not None:
        return f"{start + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}"
    return f"{int(seconds // 60)}:{seconds % 60:04.1f} in {recording}"


def _levels(results: Results) -> Part:
    from whalefinder.pages import charts

    part = Part(title="How loud")
    for name, unit, what, caption in (
        (
            "level_db",
            "dB re 1 µPa",
            "received level, r.m.s.",
            "Received levels of the calls, r.m.s. in the band of each call.",
        ),
        ("snr_db", "dB", "call over all other sound", "Power of the calls over boats and all other sound, 0.5-12 kHz."),
    ):
        values = _column(results.calls, name)
        values = values[np.isfinite(values)]
        if len(values):
            part.charts.append(Chart(caption, charts.histogram(values, unit, what)))
        elif name == "level_db":
            part.words.append("No received levels: the array file gives no sensitivity_db with full_scale_v.")
    return part


def _cards(results: Results, places: Sequence[Path], best: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The clearest calls with picture and sound, and one line for each recording that could not be shown."""
    from whalefinder.pages import charts
    from whalefinder.pages.call_clip import cut_out

    files = _files(results, places)
    cards: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    for row in clearest(results.calls, best):
        card = {"facts": _card_facts(results, row), "picture": "", "sound": "", "why": ""}
        try:
            path = files.get(row["recording"])
            if path is None:
                raise RecordingError(f"{row['recording']}: not found; say where it is with `recordings`")
            cut = cut_out(path, row["begin_s"], row["end_s"], row["channel"] or 1)
            card["picture"] = charts.spectrogram_of(cut, row["begin_s"], row["end_s"], row["low_hz"], row["high_hz"])
            card["sound"] = cut.sound
        except RecordingError as reason:
            card["why"] = f"{row['recording']} was not found or cannot be read"
            missing[row["recording"]] = str(reason)
        cards.append(card)
    return cards, list(missing.values())


def clearest(calls: Sequence[Row], count: int) -> list[Row]:
    """The `count` clearest calls: those with probability ≥ 0.9 before all others, and then by SNR, highest first."""

    def rank(row: Row) -> tuple[bool, float, str, float]:
        return (
            (row["probability"] or 0) < SURE,
            99.0 if row["snr_db"] is None else -row["snr_db"],
            row["recording"],
            row["begin_s"],
        )

    return sorted(calls, key=rank)[:count]


def _files(results: Results, places: Sequence[Path]) -> dict[str, Path]:
    """Path of each recording: where the user says, else where it was during the run."""
    found = {row["recording"]: path_shown_as(row["path"]) for row in results.recordings if row["path"]}
    found = {name: path for name, path in found.items() if path.is_file()}
    wanted: dict[str, set[str]] = {}
    for row in results.calls:
        wanted.setdefault(Path(row["recording"]).name, set()).add(row["recording"])
    for place in places:
        files = [place] if place.is_file() else sorted(place.rglob("*"))
        namesakes: dict[str, list[Path]] = {}
        for path in files:
            if printable(path.name) in wanted and path.is_file():
                namesakes.setdefault(printable(path.name), []).append(path)
        for base, paths in namesakes.items():
            for name in wanted[base]:
                # Several stations can use the same file names. Then the folders must agree too.
                below = [path for path in paths if printable(path.as_posix()).endswith("/" + name)]
                alone = paths if len(paths) == len(wanted[base]) == 1 and name not in found else []
                found.update((name, path) for path in (below or alone)[:1])
    return found


def _card_facts(results: Results, row: Row) -> list[tuple[str, str]]:
    facts = [
        *([("when", _moment(results, row["recording"], row["begin_s"]))] if row["recording"] in results.starts else []),
        ("recording", f"{row['recording']} at {row['begin_s']:.1f} s"),
        ("label", f"{row['label'].replace('_', ' ')}, probability {row['probability']:.2f}"),
        ("band", f"{row['low_hz'] / 1e3:.1f}-{row['high_hz'] / 1e3:.1f} kHz, {row['end_s'] - row['begin_s']:.1f} s"),
        ("over other sound", f"{row['snr_db']:.0f} dB"),
    ]
    if row["azimuth_deg"] is not None:
        words = f"azimuth {_angle(row, 'azimuth')}"
        if row["elevation_deg"] is not None:
            words += f", elevation {_angle(row, 'elevation')}"
        kind = kind_of(row["ambiguity"])
        facts.append(("direction", words + (f" ({kind})" if kind else "")))
    if row["level_db"] is not None:
        facts.append(("level", f"{row['level_db']:.0f} dB re 1 µPa"))
    return facts


def _angle(row: Row, name: str) -> str:
    sd = row[f"{name}_sd_deg"]
    return f"{row[f'{name}_deg']:.1f}°" + ("" if sd is None else f" ± {sd:.2g}°")
