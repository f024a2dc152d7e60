"""The data set and questions about it."""

import csv
import json
import random
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.outputs import START, detection, utc, write_output
from tests.test_cli import run
from whalefinder.errors import OptionError, OutputError
from whalefinder.results.compare import compare
from whalefinder.results.dataset import collect, open_dataset, write_dataset
from whalefinder.results.formats import read_rows
from whalefinder.results.query import query
from whalefinder.results.schema import CALIBRATION, DETECTIONS, HEALTH, RECORDINGS, TRACKS, names
from whalefinder.results.tables import COLUMNS, EXTRA_COLUMNS


def rows_of(count=12, dated=True):
    moments = [START + timedelta(hours=9 * k) for k in range(count)]
    return [detection(f"{k % 3}.wav", float(k), start_utc=utc(m) if dated else None) for k, m in enumerate(moments)]


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_data_set_gives_back_what_was_put_in(tmp_path):
    rows = [*rows_of(), detection("later.wav", level_db=101.5, azimuth_deg=None, ambiguity='lobe: a, "b"')]
    write_dataset(rows, tmp_path, "lime-kiln")
    back = open_dataset(tmp_path).to_table().to_pylist()
    for row in back:
        assert row.pop("deployment") == "lime-kiln"
        moment = row["start_utc"]
        assert row.pop("day") == ("unknown" if moment is None else f"{moment:%Y-%m-%d}")
        row["start_utc"] = None if moment is None else utc(moment)
    key = lambda row: (row["recording"], row["begin_s"])  # noqa: E731
    assert sorted(back, key=key) == sorted(rows, key=key)


def test_same_rows_same_bytes_in_any_order(tmp_path):
    rows = rows_of() + rows_of()[:3]
    write_dataset(rows, tmp_path / "a", "x")
    random.Random(1).shuffle(rows)
    write_dataset(rows, tmp_path / "b", "x")
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert next(iter(files_of(tmp_path / "a"))).startswith("detections/deployment=x/day=2026-07-0")


def test_every_field_says_its_unit_and_meaning(tmp_path):
    (path,) = write_dataset([detection()], tmp_path, "x")
    schema = pq.read_schema(path)
    assert schema.field("level_db").metadata[b"unit"] == "dB re 1 µPa".encode()
    for column in DETECTIONS:
        about = schema.field(column.name).metadata
        assert about[b"description"].decode() == column.description and about.get(b"unit", b"").decode() == column.unit
        suffix = column.name.rsplit("_", 1)[-1]
        wanted = {"s": "s", "hz": "Hz", "deg": "degrees", "m": "m", "db": "dB", "utc": "UTC"}.get(suffix, column.unit)
        assert column.unit.startswith(wanted)
    assert b"true north" in schema.metadata[b"frame"]
    assert (*COLUMNS, *EXTRA_COLUMNS) == names(DETECTIONS)


def test_the_docs_list_every_column():
    text = (Path(__file__).parent.parent / "docs" / "results.md").read_text(encoding="utf-8")
    for columns in (DETECTIONS, TRACKS, RECORDINGS, HEALTH, CALIBRATION):
        lines = "".join(f"| `{c.name}` | {c.unit} | {c.description} |\n" for c in columns)
        assert lines in text


def test_writing_again_replaces_one_deployment_and_only_it(tmp_path):
    write_dataset(rows_of(), tmp_path, "a")
    write_dataset(rows_of(3), tmp_path, "b")
    before = files_of(tmp_path)
    write_dataset(rows_of(2), tmp_path, "a")
    after = files_of(tmp_path)
    assert {k: v for k, v in after.items() if "=b" in k} == {k: v for k, v in before.items() if "=b" in k}
    assert open_dataset(tmp_path).count_rows() == 5
    assert not [path for path in tmp_path.rglob("day=*") if not any(path.iterdir())]


def test_a_disk_that_fills_up_leaves_the_old_day(tmp_path, monkeypatch):
    write_dataset(rows_of(1), tmp_path, "a")
    before = files_of(tmp_path)

    def full(table, path, **options):
        path.write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OutputError, match="No space left"):
        write_dataset(rows_of(2), tmp_path, "a")
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a=b", "é", ".hidden", "x" * 65])
def test_names_that_are_no_folders_are_refused(tmp_path, name):
    with pytest.raises(OptionError, match="the name of a folder"):
        write_dataset([], tmp_path, name)
    assert files_of(tmp_path) == {}


def test_collect_joins_runs_and_dates_their_tracks(tmp_path):
    july = write_output(tmp_path / "july", tmp_path / "sounds")
    late = write_output(tmp_path / "undated", tmp_path / "sounds", dated=False)
    counts = collect([july, late], tmp_path / "all", "lime-kiln")
    assert counts["detections"] == 24 and counts["recordings"] == 6
    tracks = open_dataset(tmp_path / "all", "tracks").to_table().to_pylist()
    dated = [row for row in tracks if row["time_utc"] is not None]
    assert {row["day"] for row in tracks} == {"2026-07-01", "unknown"} and 0 < len(dated) < len(tracks)
    first = min(dated, key=lambda row: row["time_utc"])
    assert first["time_utc"] == datetime(2026, 7, 1, 4, 30) + timedelta(seconds=first["time_s"])
    assert collect([july, july / ".." / july.name], tmp_path / "twice", "x")["detections"] == 12
    with pytest.raises(OptionError, match="collect each recording once"):
        collect([july, write_output(tmp_path / "again", tmp_path / "sounds")], tmp_path / "all", "x")
    with pytest.raises(OptionError, match=r"detections\.csv: cannot be read"):
        collect([tmp_path / "sounds"], tmp_path / "all", "x")


SUM = "SELECT day, count(*) AS calls, round(avg(snr_db), 6) AS snr FROM detections GROUP BY ALL ORDER BY ALL"


def test_csv_and_parquet_answer_alike(tmp_path):
    output = write_output(tmp_path / "july", tmp_path / "sounds")
    collect([output], tmp_path / "all", "july")
    for sql in (
        SUM,
        "SELECT * FROM detections ORDER BY start_utc",
        "SELECT track, sum(calls) FROM tracks GROUP BY track ORDER BY track",
        "SELECT * FROM tracks ORDER BY time_utc",
        "SELECT sum(duration_s) FROM recordings",
        "SELECT date_trunc('hour', start_utc) AS hour, count(*) FROM detections GROUP BY hour ORDER BY hour",
    ):
        assert query(sql, output) == query(sql, tmp_path / "all"), sql
    assert query("SELECT count(*) FROM detections WHERE ambiguity = ''", output).rows == [(12,)]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT * FROM read_csv('/etc/hostname')", "disabled by configuration"),
        ("SELECT * FROM glob('/*')", "disabled by configuration"),
        ("COPY detections TO 'x.csv'", "more than one SELECT"),
        ("DROP VIEW detections", "more than one SELECT"),
        ("SELECT 1; SELECT 2", "a single SELECT"),
        ("", "a single SELECT"),
        ("SET enable_external_access = true", "more than one SELECT"),
        ("INSTALL httpfs", "more than one SELECT"),
        ("SELECT * FROM folder", "folder does not exist"),  # a variable of ours
        ("SELECT nope FROM detections", '"nope" not found'),
        ("SELEC 1", "syntax error"),
    ],
)
def test_a_query_reads_the_views_and_nothing_else(tmp_path, sql, words):
    folder = tmp_path
    write_dataset(rows_of(), folder, "a")
    before = files_of(folder)
    with pytest.raises(OptionError, match=words) as caught:
        query(sql, folder)
    assert "\n" not in str(caught.value) and files_of(folder) == before


def test_query_on_the_command_line(tmp_path):
    output = write_output(tmp_path / "july", tmp_path / "sounds")
    code, text = run("query", SUM, "--from", output, "--format", "csv")
    assert code == 0 and text.splitlines()[0] == "day,calls,snr" and text.splitlines()[1].startswith("2026-07-01,12,")
    code, text = run("query", "SELECT start_utc FROM detections LIMIT 1", "--from", output, "--format", "json")
    assert json.loads(text)[0]["start_utc"].startswith("2026-07-01T04:30:") and text.count("Z") == 1
    code, text = run("query", SUM, "--from", output)
    assert code == 0 and "calls" in text and "2026-07-01" in text
    for arguments, words in (
        ((SUM, "--from", tmp_path / "none"), "holds neither a data set nor detections.csv"),
        ((SUM, "--from", output, "--format", "xml"), "'xml' is unknown"),
        (("nonsense", "--from", output), "Parser Error"),
    ):
        code, text = run("query", *arguments)
        assert code == 1 and words in text


def test_a_query_fits_eighty_columns_and_says_what_it_leaves_out(tmp_path):
    output = write_output(tmp_path / "july", tmp_path / "sounds")
    code, text = run("query", "SELECT * FROM detections", "--from", output)
    lines = text.splitlines()
    assert code == 0 and max(map(len, lines)) <= 80
    assert len([line for line in lines if ".wav" in line]) == 12, "one line a row"
    assert all(name in lines[1] for name in ("recording", "begin_s", "label", "azimuth_deg"))
    assert "columns not shown; choose with --columns" in text
    code, text = run("query", "SELECT * FROM detections", "--from", output, "--columns", "level_db, label")
    assert (
        code == 0 and text.splitlines()[1].split() == ["┃", "level_db", "┃", "label", "┃"] and "not shown" not in text
    )
    code, text = run("query", "SELECT * FROM detections", "--from", output, "--format", "csv")
    assert len(text.splitlines()[0].split(",")) == len(DETECTIONS) + 2
    code, text = run("query", "SELECT label FROM detections", "--from", output, "--columns", "lable")
    assert code == 1 and "column 'lable' is not in the answer; it has label" in text


@pytest.mark.parametrize("width", [10, 40, 80, 200, 1000])
def test_the_columns_that_say_most_stay(tmp_path, width):
    answer = query("SELECT *, 1 AS mine FROM detections", write_output(tmp_path / "july", tmp_path / "sounds"))
    shown = answer.fitting(width)
    assert "mine" in shown.columns and list(shown.columns) == [c for c in answer.columns if c in shown.columns]
    assert len(shown.rows) == len(answer.rows)
    assert (shown == answer) == (width == 1000)


def test_collect_and_query_on_the_command_line(tmp_path):
    output = write_output(tmp_path / "july", tmp_path / "sounds")
    code, text = run("collect", output, "--deployment", "july", "--out", tmp_path / "all")
    assert code == 0 and "12 rows of detections" in text
    code, text = run("query", "SELECT DISTINCT deployment FROM tracks", "--from", tmp_path / "all", "-f", "csv")
    assert text == "deployment\njuly\n"


def test_convert_writes_what_a_run_would_have_written(tmp_path):
    output = write_output(tmp_path / "july", tmp_path / "sounds", files=2)
    code, text = run("convert", output, "--format", "raven,jsonl", "--out", tmp_path / "raven")
    assert code == 0 and "4 files" in text
    with (tmp_path / "raven" / "_all.selections.txt").open(newline="") as file:
        selections = list(csv.DictReader(file, delimiter="\t"))
    assert len(selections) == 8
    shift = [float(row["Begin Time (s)"]) - float(row["File Offset (s)"]) for row in selections]
    assert shift == pytest.approx([0.0] * 4 + [30.0] * 4)  # each recording lasts 30 s
    lines = (tmp_path / "raven" / "detections.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == read_rows(output / "detections.csv", DETECTIONS)
    code, text = run("convert", output, "--format", "xml")
    assert code == 1 and "'xml' is unknown" in text


def test_tables_that_were_broken_by_hand_are_named(tmp_path):
    (tmp_path / "detections.csv").write_text("recording,begin_s\na.wav,soon\n")
    with pytest.raises(OptionError, match=r"line 2: could not convert .* 'soon'"):
        read_rows(tmp_path / "detections.csv", DETECTIONS)
    (tmp_path / "detections.csv").write_text("recording,begin_s,mine\na.wav,2.5,x\n")
    (row,) = read_rows(tmp_path / "detections.csv", DETECTIONS)
    assert row["begin_s"] == 2.5 and row["label"] is None and row["mine"] == "x"
    assert read_rows(write_output(tmp_path / "o", tmp_path / "s") / "tracks.csv", TRACKS)[0]["track"] == 1


def at(seconds, **others):
    return detection("x", seconds, start_utc=utc(START + timedelta(seconds=seconds)), **others)


def test_compare_by_hand():
    ours = [at(1.0, azimuth_deg=10.0), at(10.0), at(20.0, azimuth_deg=350.0, elevation_deg=None)]
    theirs = [at(1.5, azimuth_deg=13.0), at(1.7), at(20.9, azimuth_deg=10.0), at(40.0)]
    found = compare(ours, theirs)
    assert (found.ours, found.theirs, found.ours_heard, found.theirs_heard) == (3, 4, 2, 3)
    # The nearest to 1.4 s is the one at 1.5 s, 3° away at elevation -5°; at 20 s only the azimuths count.
    assert found.apart_deg == pytest.approx(
        [2 * np.degrees(np.arcsin(np.sin(np.radians(1.5)) * np.cos(np.radians(5)))), 20.0]
    )
    assert compare(ours, [at(1.0, ambiguity="cone: 30 deg")]).apart_deg.size == 0
    assert compare(ours, [at(1.0, ambiguity=None)]).apart_deg.size == 1  # a table of one's own has no such column
    assert compare(ours, []).ours_heard == 0 and compare([], []).theirs == 0
    with pytest.raises(OptionError, match="compared in time"):
        compare(ours, [detection("y")])
    assert compare([detection("y", 1.0)], [detection("y", 2.0), detection("z", 1.0)]).theirs_heard == 1


def test_pamguard_to_comparison_on_the_command_line(tmp_path):
    pytest.importorskip("pypamguard", reason="pypamguard is not installed (extra 'archive')")
    from tests import pgdf

    (tmp_path / "c.pgdf").write_bytes(pgdf.clicks_file(pgdf.click(2.0, (0.0, 0.0)), pgdf.click(9.0)))
    (tmp_path / "bad.pgdf").write_bytes(b"nothing")
    code, text = run("import-pamguard", tmp_path / "c.pgdf", tmp_path / "bad.pgdf", "--file", tmp_path / "p.csv")
    assert code == 1 and "bad.pgdf: is not a binary file of PAMGuard" in text and "2 detections of 2 files" in text
    with (tmp_path / "p.csv").open() as file:
        assert [row["azimuth_deg"] for row in csv.DictReader(file)] == ["90.0", ""]
    code, text = run("compare", tmp_path / "p.csv", tmp_path / "p.csv")
    assert code == 0 and "directions of 1 are 0.00° apart" in text
