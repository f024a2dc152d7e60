"""Tables that other programs read."""

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq
import pytest

from whalefinder.errors import OptionError, OutputError
from whalefinder.results.formats import read_rows, safe_stem, write_formats
from whalefinder.results.records import LABELS, WHALES, Bearing, Detection, Track
from whalefinder.results.schema import DETECTIONS, NO_CALLS
from whalefinder.results.tables import (
    COLUMNS,
    EXTRA_COLUMNS,
    TRACK_COLUMNS,
    CsvWriter,
    parse_formats,
    row_of,
    rows_of,
    write_table,
)

BEARING = Bearing(azimuth_deg=359.99999, elevation_deg=-4.25, azimuth_sd_deg=0.1, elevation_sd_deg=0.2)
CALL = Detection(
    recording="a.wav",
    begin_s=1.0,
    end_s=2.0,
    start_utc=datetime(2026, 7, 1, 12, 0, 1, tzinfo=UTC),
    low_hz=500.0,
    high_hz=6000.0,
    label="orca",
    probability=0.9,
    snr_db=3.0,
    bearing=BEARING,
)
PLAIN = Detection(
    recording="b/../c.wav",
    begin_s=0.5,
    end_s=0.8,
    start_utc=None,
    low_hz=500.0,
    high_hz=700.0,
    label="orca",
    probability=0.6,
    snr_db=-3.0,
)


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


SOURCES = [
    {
        "recording": "a.wav",
        "path": "/sea/a.wav",
        "start_utc": None,
        "duration_s": 1.95,
        "rate_hz": 8000.0,
        "channels": 4,
    },
    {
        "recording": "quiet.wav",
        "path": "/sea/q.wav",
        "start_utc": None,
        "duration_s": 60.5,
        "rate_hz": 8000.0,
        "channels": 4,
    },
    {
        "recording": "b/../c.wav",
        "path": "/sea/c.wav",
        "start_utc": None,
        "duration_s": 9.0,
        "rate_hz": 48e3,
        "channels": 4,
    },
]


def write(folder, *formats, rows=None, recordings=()):
    write_formats(rows or [row_of(CALL), row_of(PLAIN)], folder, formats, recordings)


def test_json_and_json_lines_give_back_the_rows(tmp_path):
    write(tmp_path, "json", "jsonl")
    rows = json.loads((tmp_path / "detections.json").read_text())
    assert rows == [row_of(CALL), row_of(PLAIN)]
    assert [json.loads(line) for line in (tmp_path / "detections.jsonl").read_text().splitlines()] == rows


def test_csv_gives_back_the_rows(tmp_path):
    odd = row_of(replace(PLAIN, recording='a "b", c\n.wav', channel=2))
    write_table(tmp_path / "d.csv", (*COLUMNS, *EXTRA_COLUMNS), [row_of(CALL), odd])
    assert read_rows(tmp_path / "d.csv", DETECTIONS) == [row_of(CALL), odd]


def test_parquet_gives_back_the_rows(tmp_path):
    write(tmp_path, "parquet")
    table = pq.read_table(tmp_path / "detections.parquet")
    assert table.schema.field("azimuth_deg").metadata[b"unit"] == b"degrees"
    back = table.to_pylist()
    assert back[0].pop("start_utc") == datetime(2026, 7, 1, 12, 0, 1) and back[1].pop("start_utc") is None
    assert back == [{k: v for k, v in row_of(d).items() if k != "start_utc"} for d in (CALL, PLAIN)]


# crowsetta 5 calls pandas 3 in ways that pandas will drop.
OLD_PANDAS = pytest.mark.filterwarnings("ignore:The inplace keyword")


@OLD_PANDAS
def test_crowsetta_reads_our_raven_tables(tmp_path):
    crowsetta = pytest.importorskip("crowsetta")
    write(tmp_path, "raven", recordings=SOURCES)
    (box,) = crowsetta.formats.bbox.Raven.from_file(tmp_path / "a.selections.txt").to_bbox()
    # The file ends at 1.95 s and holds nothing above 4 kHz; Raven would refuse more.
    assert (box.onset, box.offset, box.low_freq, box.high_freq, box.label) == (1.0, 1.95, 500.0, 4000.0, "orca")
    assert len(crowsetta.formats.bbox.Raven.from_file(tmp_path / "b_.._c.selections.txt").to_bbox()) == 1


@OLD_PANDAS
def test_raven_times_run_on_from_file_to_file(tmp_path):
    crowsetta = pytest.importorskip("crowsetta")
    write(tmp_path, "raven", recordings=SOURCES)
    with (tmp_path / "_all.selections.txt").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["Begin Time (s)"] for row in rows] == ["1.0", str(1.95 + 60.5 + 0.5)]
    assert [row["File Offset (s)"] for row in rows] == ["1.0", "0.5"]
    assert [row["Begin File"] for row in rows] == ["a.wav", "b/../c.wav"]
    assert [row["Begin Path"] for row in rows] == ["/sea/a.wav", "/sea/c.wav"]
    assert [row["View"] for row in rows] == ["Spectrogram 1"] * 2 and [row["Selection"] for row in rows] == ["1", "2"]
    assert len(crowsetta.formats.bbox.Raven.from_file(tmp_path / "_all.selections.txt").to_bbox()) == 2


def test_a_call_that_goes_on_in_the_next_file_has_its_true_end(tmp_path):
    """Three files of a minute: the second follows the first, the third comes after a gap of a minute."""
    starts = ("2026-07-01T12:00:00.000Z", "2026-07-01T12:01:00.000Z", "2026-07-01T12:03:00.000Z")
    sources = [
        {**SOURCES[0], "recording": f"{k}.wav", "start_utc": start, "duration_s": 60.0}
        for k, start in enumerate(starts)
    ]
    rows = [row_of(replace(CALL, recording=f"{k}.wav", begin_s=59.0, end_s=61.5)) for k in range(3)]
    write(tmp_path, "raven", rows=rows, recordings=sources)

    def ends(name):
        with (tmp_path / f"{name}.selections.txt").open(newline="") as file:
            return [(row["End Time (s)"], row["Beyond File (s)"]) for row in csv.DictReader(file, delimiter="\t")]

    assert ends("_all") == [("61.5", "1.5"), ("120.0", "1.5"), ("180.0", "1.5")]
    assert ends("0") == [("60.0", "1.5")]
    write(
        tmp_path,
        "raven",
        rows=[row_of(replace(CALL, recording="0.wav", begin_s=59.0, end_s=60.02))],
        recordings=sources,
    )
    assert ends("0") == [("60.0", "")]


def test_raven_header_is_ravens(tmp_path):
    write(tmp_path, "raven", rows=[row_of(replace(CALL, recording='odd\tname "1".wav'))])
    header, line = (tmp_path / "odd_name__1.selections.txt").read_text().splitlines()
    assert header.split("\t")[:7] == [
        "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)",
    ]  # fmt: skip
    assert "Begin Path" not in header and 'odd name "1".wav' in line.split("\t")


def test_crowsetta_reads_our_audacity_labels(tmp_path):
    crowsetta = pytest.importorskip("crowsetta")
    write(tmp_path, "audacity")
    (box,) = crowsetta.formats.bbox.AudBBox.from_file(tmp_path / "a.labels.txt").to_bbox()
    assert (box.onset, box.offset, box.low_freq, box.high_freq) == (1.0, 2.0, 500.0, 6000.0)
    assert box.label == "orca p=0.90 az=0.0 el=-4.2"
    lines = (tmp_path / "b_.._c.labels.txt").read_text().splitlines()
    assert lines == ["0.500000\t0.800000\torca p=0.60", "\\\t500.000000\t700.000000"]


def test_dcase_holds_a_line_every_100_ms(tmp_path):
    write(tmp_path, "dcase", rows=[row_of(CALL), row_of(replace(CALL, label="boat", begin_s=1.95, end_s=1.98))])
    frames = [line.split(",") for line in (tmp_path / "a.dcase.csv").read_text().split()]
    assert frames[0] == ["10", "0", "0", "0", "-4"] and len(frames) == 12
    assert frames[-2:] == [["19", "1", "1", "0", "-4"], ["20", "0", "0", "0", "-4"]]


def test_a_format_that_cannot_be_written_leaves_no_half_of_it(tmp_path):
    (tmp_path / "a.labels.txt").mkdir()
    with pytest.raises(OutputError, match=r"a\.labels\.txt: cannot write"):
        write(tmp_path, "audacity")
    assert [path.name for path in tmp_path.iterdir()] == ["a.labels.txt"]


def test_what_is_no_whale_has_its_labels():
    assert {name for name in LABELS if name in NO_CALLS} == {LABELS[k] for k in range(len(LABELS)) if k not in WHALES}


def test_dcase_turns_the_other_way(tmp_path):
    east = Detection(
        recording="a.wav",
        begin_s=0,
        end_s=0.05,
        start_utc=None,
        low_hz=1,
        high_hz=2,
        label="orca",
        probability=1,
        snr_db=0,
        bearing=Bearing(azimuth_deg=90.0, elevation_deg=0.0, azimuth_sd_deg=1, elevation_sd_deg=1),
    )
    write_formats([row_of(east)], tmp_path, ("dcase",))
    assert (tmp_path / "a.dcase.csv").read_text() == "0,0,0,-90,0\n"


def test_formats_and_names():
    assert parse_formats("raven, json") == ("csv", "raven", "json")
    with pytest.raises(OptionError, match="'xml' is unknown; choose from csv, parquet"):
        parse_formats("xml")
    assert safe_stem("../../etc/passwd.wav") == "etc_passwd" and safe_stem("a b:c.wav") == "a_b_c"


def test_tracks_have_these_columns_and_a_row_a_second(tmp_path):
    same = np.array([1.0, 2.0])
    track = Track(
        number=1,
        recording="a.wav",
        time_s=np.array([5.0, 6.0]),
        azimuth_deg=np.array([359.99999, 0.5]),
        elevation_deg=-same,
        azimuth_sd_deg=same,
        elevation_sd_deg=same,
        calls=np.array([2, 0]),
        fixes=(0, 1),
    )
    table = CsvWriter(tmp_path / "tracks.csv", TRACK_COLUMNS)
    table.write(rows_of(track))
    table.close()
    lines = (tmp_path / "tracks.csv").read_text().splitlines()
    assert lines[0] == "track,time_s,azimuth_deg,elevation_deg,azimuth_sd_deg,elevation_sd_deg,calls,recording,tracker"
    assert lines[1:] == ["1,5.0,0.0,-1.0,1.0,1.0,2,a.wav,smoother", "1,6.0,0.5,-2.0,2.0,2.0,0,a.wav,smoother"]
