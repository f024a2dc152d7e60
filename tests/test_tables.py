"""Tables that other programs read."""

import csv
import json
from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq
import pytest

from whalefinder.errors import OptionError
from whalefinder.locate import Bearing, Detection
from whalefinder.tables import (
    COLUMNS,
    EXTRA_COLUMNS,
    TRACK_COLUMNS,
    CsvWriter,
    parse_formats,
    row_of,
    rows_of,
    safe_stem,
    write_others,
)
from whalefinder.tracks import Track

BEARING = Bearing(359.99999, -4.25, 0.1, 0.2)
CALL = Detection(
    "a.wav", 1.0, 2.0, datetime(2026, 7, 1, 12, 0, 1, tzinfo=UTC), 500.0, 6000.0, "call", 0.9, 3.0, BEARING
)
PLAIN = Detection("b/../c.wav", 0.5, 0.8, None, 500.0, 700.0, "call", 0.6, -3.0)


def test_the_first_columns_are_exactly_these(tmp_path):
    table = CsvWriter(tmp_path / "detections.csv", (*COLUMNS, *EXTRA_COLUMNS))
    table.write(map(row_of, [CALL, PLAIN]))
    table.close()
    header = (tmp_path / "detections.csv").read_text().splitlines()[0]
    assert header.startswith(
        "recording,begin_s,end_s,start_utc,low_hz,high_hz,label,probability,snr_db,azimuth_deg,elevation_deg,"
        "azimuth_sd_deg,elevation_sd_deg,ambiguity"
    )
    with (tmp_path / "detections.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["start_utc"] == "2026-07-01T12:00:01.000Z" and rows[1]["azimuth_deg"] == ""


def test_azimuth_never_rounds_up_to_360():
    assert row_of(CALL)["azimuth_deg"] == 0.0


def test_parquet_json_raven_and_dcase(tmp_path):
    write_others([CALL, PLAIN], tmp_path, ("parquet", "json", "raven", "dcase"))
    table = pq.read_table(tmp_path / "detections.parquet")
    assert table.column_names[: len(COLUMNS)] == list(COLUMNS) and table.num_rows == 2
    assert table.schema.field("azimuth_deg").metadata == {b"unit": b"degrees"}
    assert json.loads((tmp_path / "detections.json").read_text())[0]["snr_db"] == 3.0
    raven = (tmp_path / "a.selections.txt").read_text().splitlines()
    assert raven[0].split("\t")[:7] == [
        "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)",
    ]  # fmt: skip
    assert raven[1].split("\t")[:4] == ["1", "Spectrogram 1", "1", "1.0"]
    frames = [line.split(",") for line in (tmp_path / "a.dcase.csv").read_text().split()]
    assert frames[0] == ["10", "0", "0", "0", "-4"] and len(frames) == 11
    assert (tmp_path / "b_.._c.selections.txt").exists()


def test_dcase_turns_the_other_way(tmp_path):
    east = Detection("a.wav", 0, 0.05, None, 1, 2, "call", 1, 0, Bearing(90.0, 0.0, 1, 1))
    write_others([east], tmp_path, ("dcase",))
    assert (tmp_path / "a.dcase.csv").read_text() == "0,0,0,-90,0\n"


def test_formats_and_names():
    assert parse_formats("raven, json") == ("csv", "raven", "json")
    with pytest.raises(OptionError, match="'xml' is unknown; choose from csv, parquet"):
        parse_formats("xml")
    assert safe_stem("../../etc/passwd.wav") == "etc_passwd" and safe_stem("a b:c.wav") == "a_b_c"


def test_tracks_have_these_columns_and_a_row_a_second(tmp_path):
    same = np.array([1.0, 2.0])
    track = Track(
        1, "a.wav", np.array([5.0, 6.0]), np.array([359.99999, 0.5]), -same, same, same, np.array([2, 0]), (0, 1)
    )
    table = CsvWriter(tmp_path / "tracks.csv", TRACK_COLUMNS)
    table.write(rows_of(track))
    table.close()
    lines = (tmp_path / "tracks.csv").read_text().splitlines()
    assert lines[0] == "track,time_s,azimuth_deg,elevation_deg,azimuth_sd_deg,elevation_sd_deg,calls,recording"
    assert lines[1:] == ["1,5.0,0.0,-1.0,1.0,1.0,2,a.wav", "1,6.0,0.5,-2.0,2.0,2.0,0,a.wav"]
