"""Results stay: a folder of results is added to or refused, one run at a time writes, nothing is written over unasked."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from tests.helpers import array, write
from tests.outputs import sweep
from whalefinder import demo
from whalefinder.array.array_file import save_array
from whalefinder.cli import app
from whalefinder.errors import OptionError, OutputError
from whalefinder.files import locked, path_shown_as
from whalefinder.results.dataset import read_output
from whalefinder.results.folder import ResultsFolder, name_in
from whalefinder.results.formats import read_rows, stems_of
from whalefinder.results.schema import DETECTIONS, HEALTH, RECORDINGS, TRACKS
from whalefinder.results.tables import write_table

LATIN = os.fsdecode(b"l\xe9ve_20260701_120000.wav")
"""A name that is not UTF-8."""


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    plain = re.sub(r"\x1b\[[0-9;]*m", "", result.output).encode("utf-8", "replace").decode()
    assert "Traceback" not in plain and (result.exception is None or isinstance(result.exception, SystemExit)), plain
    return result.exit_code, " ".join(plain.split())


def locate(out, *arguments):
    return run("locate", *arguments, "-o", out, "--all", "--no-pictures")


def recording(folder, name, begin_s=3.0, seconds=8.0):
    folder.mkdir(exist_ok=True)
    return write(folder / name, sweep(seconds, [begin_s])[:, None], 16_000)


def counted(out):
    """Rows of detections for each recording in recordings.csv."""
    rows = [row["recording"] for row in read_rows(out / "detections.csv", DETECTIONS)]
    return {row["recording"]: rows.count(row["recording"]) for row in read_rows(out / "recordings.csv", RECORDINGS)}


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_of_results_is_added_to_replaced_or_left_alone(tmp_path):
    out, a, b = tmp_path / "out", recording(tmp_path / "x", "a.wav"), recording(tmp_path / "x", "b.wav", 4.0)
    assert locate(out, a, "-f", "raven,json")[0] == 0
    first = content(out)
    code, text = locate(out, b)
    assert code == 1 and "holds results already" in text and "--append" in text and "--overwrite" in text
    assert content(out) == first and not (out / "lock").exists()
    assert locate(out, b, "--append", "--overwrite")[0] == 1 and content(out) == first
    code, text = locate(out, b, "--append")  # and the formats of the first run go on
    assert code == 0 and counted(out) == {"a.wav": 1, "b.wav": 1}
    assert (out / "a.selections.txt").read_bytes() == first["a.selections.txt"]
    assert (out / "detections.json").read_text().count('"recording"') == 2
    assert len((out / "_all.selections.txt").read_text().splitlines()) == 3
    both = content(out)
    code, text = locate(out, a, "--append")
    assert code == 0 and "1 recording of 1 had results here already, which the new ones replace" in text
    assert counted(out) == {"a.wav": 1, "b.wav": 1}
    assert content(out).keys() == both.keys()
    assert locate(out, tmp_path / "typo.wav", "--overwrite")[0] == 1 and counted(out) == {"a.wav": 1, "b.wav": 1}
    assert locate(out, b, "--overwrite")[0] == 0 and counted(out) == {"b.wav": 1}
    assert {path.name for path in out.iterdir()} == {"detections.csv", "recordings.csv", "health.csv"}


def test_files_that_this_run_does_not_make_are_kept(tmp_path):
    out, a, b = tmp_path / "out", recording(tmp_path / "x", "a.wav"), recording(tmp_path / "x", "b.wav", 4.0)
    assert locate(out, a, "-f", "raven")[0] == 0
    mine = (out / "a.selections.txt").read_text() + "2\tmy row\n"
    (out / "a.selections.txt").write_text(mine)
    (out / "a.labels.txt").write_text("my own")
    (out / "_all.selections.txt").write_text("of the whole year")
    code, text = locate(out, b, "--append")
    assert code == 1 and "_all.selections.txt: exists already and is kept" in text
    (out / "_all.selections.txt").unlink()
    assert locate(out, b, "--append", "-f", "audacity")[0] == 0
    assert (out / "a.selections.txt").read_text() == mine and (out / "a.labels.txt").read_text() == "my own"
    assert (out / "b.selections.txt").exists() and (out / "b.labels.txt").exists()
    assert locate(out, a, "--append")[0] == 0 and (out / "a.selections.txt").read_text() != mine  # searched again


def test_a_table_of_all_of_another_program_is_kept(tmp_path):
    out, a, b = tmp_path / "out", recording(tmp_path / "x", "a.wav"), recording(tmp_path / "x", "b.wav", 4.0)
    out.mkdir()
    (out / "_all.selections.txt").write_text("of the whole year")
    assert locate(out, a, b, "-f", "raven")[0] == 1
    assert content(out) == {"_all.selections.txt": b"of the whole year"}
    assert locate(out, a, b, "-f", "raven", "--overwrite")[0] == 0


def test_a_row_that_was_cut_is_said(tmp_path):
    out, a, b = tmp_path / "out", recording(tmp_path / "x", "a.wav"), recording(tmp_path / "x", "b.wav", 4.0)
    assert locate(out, a)[0] == 0
    whole = (out / "detections.csv").read_bytes()
    (out / "detections.csv").write_bytes(whole[: len(whole) - 40])
    code, text = locate(out, b, "--append")
    assert code == 0 and "detections.csv: the last row was cut and is left out; search a.wav again" in text
    assert "was cut" not in locate(out, a, "--append")[1] and counted(out) == {"a.wav": 1, "b.wav": 1}


def test_a_run_that_found_nothing_to_open_leaves_no_results(tmp_path):
    out, a = tmp_path / "out", recording(tmp_path / "x", "a.wav")
    assert locate(out, tmp_path / "nope.wav", "-f", "json")[0] == 1 and not out.exists()
    out.mkdir()
    for name, columns in (("detections", DETECTIONS), ("recordings", RECORDINGS)):
        write_table(out / f"{name}.csv", tuple(c.name for c in columns), [])
    assert locate(out, a)[0] == 0 and counted(out) == {"a.wav": 1}
    other = tmp_path / "other"
    other.mkdir()
    (other / "detections.csv").write_text("of another program\n")
    assert locate(other, a)[0] == 1 and content(other) == {"detections.csv": b"of another program\n"}


def test_a_part_does_not_replace_more(tmp_path):
    out, a = tmp_path / "out", recording(tmp_path / "x", "a.wav")
    assert locate(out, a, "--end", 6)[0] == 0
    code, text = locate(out, a, "--append", "--start", 6)
    assert code == 1 and "0 to 6 s of it are in" in text and "6 to 8 s would replace them" in text
    assert counted(out) == {"a.wav": 1}
    assert locate(out, a, "--append")[0] == 0 and counted(out) == {"a.wav": 1}


def test_names_lead_to_the_files_and_one_file_counts_once(tmp_path):
    out, folders = tmp_path / "out", (tmp_path / "x", tmp_path / "y")
    paths = [recording(folder, name) for folder in folders for name in ("a.wav", "a.flac")]
    code, text = locate(out, *paths, folders[0] / ".." / "x" / "a.wav", "-f", "raven")
    assert code == 0 and "a.wav: is given twice and searched once" in text
    rows = read_rows(out / "recordings.csv", RECORDINGS)
    assert [row["recording"] for row in rows] == ["a.wav", "a.flac", *map(str, paths[2:])]
    assert [Path(row["path"]) for row in rows] == paths
    assert len(list(out.glob("*a*.selections.txt"))) == 5  # with the one of all
    assert all(count == 1 for count in counted(out).values())


def test_names_in_tables(tmp_path):
    taken = {"a.wav": tmp_path / "x" / "a.wav"}
    assert name_in(tmp_path / "x" / "a.wav", taken) == name_in(tmp_path / "x" / "." / "a.wav", taken) == "a.wav"
    assert name_in(tmp_path / "a.wav", taken) == (tmp_path / "a.wav").as_posix()
    assert name_in(Path("a.wav"), {**taken, "b.wav": Path("b.wav")}) == Path("a.wav").absolute().as_posix()
    stems = stems_of(["a.wav", "A.WAV", "a-tracks.wav", "a.flac", "a b.wav", "a_b.wav"])
    assert len({stem.lower() for stem in stems.values()}) == 6
    assert "a-tracks" not in stems.values()  # a-tracks.png is a picture of a.wav


def heard(name, folder, seconds=60.0):
    return SimpleNamespace(
        name=name, paths=[folder / name], start_utc=None, rate_hz=48_000, begin_s=0.0, duration_s=seconds,
        file_s=seconds, num_channels=4,
    )  # fmt: skip


def test_tracks_and_health_of_a_recording_that_is_searched_again_go(tmp_path):
    one, two = heard("one.wav", tmp_path), heard("two.wav", tmp_path)
    folder = ResultsFolder.of(tmp_path)
    folder.begin([one, two], with_array=True, overwrite=False)
    for number, each in enumerate((one, two), start=1):
        folder.start(each)
        folder.add(
            "tracks",
            [dict.fromkeys([c.name for c in TRACKS], 1.0) | {"track": number, "calls": 1, "recording": each.name}],
        )
    folder.close()
    health = [{"recording": "one.wav", "kind": "deaf", "seen": 1, "of": 2}, {"recording": "two.wav", "kind": "gain"}]
    write_table(tmp_path / "health.csv", tuple(c.name for c in HEALTH), health)
    again = ResultsFolder.of(tmp_path, append=True)
    assert again.last_track == 2
    again.begin([one], with_array=True, overwrite=False)
    assert len(read_rows(tmp_path / "tracks.csv", TRACKS)) == 2  # until its search begins
    again.start(one)
    again.close()
    assert [row["recording"] for row in read_rows(tmp_path / "tracks.csv", TRACKS)] == ["two.wav"]
    assert [row["recording"] for row in again.rows["health"]] == ["two.wav"]
    assert [row["recording"] for row in read_rows(tmp_path / "recordings.csv", RECORDINGS)] == ["one.wav", "two.wav"]


def test_tables_that_cannot_be_added_to_are_refused(tmp_path):
    (tmp_path / "detections.csv").write_text("recording,begin_s,mine\na.wav,1,x\n")
    with pytest.raises(OptionError, match="has a column 'mine', which would be lost"):
        ResultsFolder.of(tmp_path, append=True)
    (tmp_path / "detections.csv").write_text("recording,begin_s\na.wav,1\n")
    with pytest.raises(OptionError, match=r"recordings.csv does not name a.wav"):
        ResultsFolder.of(tmp_path, append=True)
    (tmp_path / "plan.json").write_text("{}")
    for said in ({}, {"append": True}, {"overwrite": True}):
        with pytest.raises(OutputError, match="holds the results of an archive"):
            ResultsFolder.of(tmp_path, **said)


def test_a_row_that_a_killed_process_left_is_not_read(tmp_path):
    (tmp_path / "detections.csv").write_text("recording,begin_s,end_s\r\na.wav,1,2\r\nb.wav,1")
    assert [row["recording"] for row in read_rows(tmp_path / "detections.csv", DETECTIONS)] == ["a.wav"]


def test_one_run_at_a_time(tmp_path):
    out, a = tmp_path / "out", recording(tmp_path / "x", "a.wav")
    save_array(array(), tmp_path / "array.toml")
    with locked(out):
        for command in (
            ["locate", a, "-o", out],
            ["check", a, "-a", tmp_path / "array.toml", "-o", out],
            ["simulate", "-o", out],
            ["train", "segmenter", "-o", out],
        ):
            code, text = run(*command)
            assert code == 1 and f"another run works here (process {os.getpid()} on" in text
        assert content(out).keys() == {"lock"}
    assert not out.exists()  # a folder that a run made and wrote nothing into goes with it


def test_the_lock_of_a_killed_process_locks_nothing(tmp_path):
    code = f"import os; from pathlib import Path; from whalefinder.files import locked\nwith locked(Path({str(tmp_path)!r})): os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert "process" in (tmp_path / "lock").read_text()
    with locked(tmp_path), pytest.raises(OutputError, match="another run"), locked(tmp_path):
        pass
    assert not (tmp_path / "lock").exists()


@pytest.mark.parametrize("content", [b"my key", b"\xff\x00", b"proc"])
@pytest.mark.parametrize("name", ["lock", "lock.1-2"])
def test_a_lock_of_the_user_is_kept(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(OutputError, match="is a file of yours"), locked(tmp_path, "1/2"):
        pass
    assert (tmp_path / name).read_bytes() == content


def test_a_full_disk_at_the_lock_is_one_line(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))  # no file may grow
    try:
        with pytest.raises(OutputError, match="lock: cannot write"), locked(tmp_path):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of results, an array file and a table of positions."""
    folder = tmp_path_factory.mktemp("made")
    save_array(array(), folder / "array.toml")
    (folder / "xyz.csv").write_text("x,y,z\n0,0,0\n1,0,0\n")
    assert locate(folder / "out", recording(folder / "x", "a.wav"))[0] == 0
    return folder


@pytest.fixture
def results(made, tmp_path):
    """The same in a folder of its own."""
    return Path(shutil.copytree(made, tmp_path / "made"))


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (["import-array", "xyz.csv", "--sound-speed", "1480", "--file", "mine.toml"], "mine.toml"),
        (["check", "array.toml", "--file", "mine.png"], "mine.png"),
        (["simulate", "--seconds", "4", "--calls", "1", "--boats", "0", "-o", "out"], "out/array.toml"),
        (["convert", "out", "-f", "raven"], "out/a.selections.txt"),
        (["report", "out"], "out/report.html"),
        (["locate", "x/a.wav", "-o", "fresh", "--end", "3"], "fresh/a.png"),
        (["explain", "x/a.wav", "--at", "3.2", "--what", "segmenter", "-o", "why"], "why/a-3.2s-segmenter.png"),
    ],
)
def test_nothing_is_written_over_unasked(results, monkeypatch, command, file):
    monkeypatch.chdir(results)
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text("made by hand")
    code, text = run(*command)
    assert code == 1 and f"{file}: exists already" in text and "--overwrite" in text
    assert Path(file).read_text() == "made by hand"
    if command[0] != "explain":  # which takes long
        assert run(*command, "--overwrite")[0] == 0
        assert Path(file).read_bytes() != b"made by hand"


def test_an_archive_does_not_take_the_folder_of_locate(results):
    before = content(results / "out")
    code, text = run("archive", results / "x", "-o", results / "out")
    assert code == 1 and "holds results of locate" in text and content(results / "out") == before


def test_a_training_is_continued_or_replaced_only_if_one_says_so(tmp_path):
    (tmp_path / "last.pt").write_text("an hour of work")
    code, text = run("train", "segmenter", "-o", tmp_path)
    assert code == 1 and "--resume" in text and "--overwrite" in text
    assert content(tmp_path) == {"last.pt": b"an hour of work"}


def test_the_demo_replaces_itself_and_nothing_else(tmp_path):
    (tmp_path / "array.toml").write_text("made by hand")
    with pytest.raises(OutputError, match=r"array.toml: exists already"):
        demo.run(tmp_path)
    (tmp_path / f"{demo.FILE}.wav").write_bytes(b"")
    write_table(tmp_path / "recordings.csv", ("recording", "path"), [{"recording": f"{demo.FILE}.wav", "path": "x"}])
    assert demo._was_here(tmp_path)
    write_table(tmp_path / "recordings.csv", ("recording", "path"), [{"recording": "night.wav", "path": "x"}])
    with pytest.raises(OutputError, match=r"holds results of night.wav too"):
        demo.run(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="only here names of files are any bytes")
def test_names_of_any_bytes(tmp_path):
    sound, out, shown = tmp_path / "x", tmp_path / "out", "l\ufffdve_20260701_120000.wav"
    path = recording(sound, "a.wav", 1.5, seconds=3.0).rename(sound / LATIN)
    assert path_shown_as(str(sound / shown)) == path
    assert locate(out, path, "-f", "raven,json,parquet")[0] == 0 and set(counted(out)) == {shown}
    code, text = locate(out, path, "--append")
    assert code == 0 and "had results here already" in text and set(counted(out)) == {shown}
    code, text = run("report", out)
    assert code == 0 and "not on the page" not in text
    assert run("convert", out, "-f", "audacity,dcase")[0] == 0
    large = ("--window-hz", 8000, "--window-s", 1)  # windows so large that few are needed
    code, text = run("explain", path, "--at", 1.7, "--what", "segmenter", *large, "-o", tmp_path / "why")
    assert code == 0 and shown in text
    assert run("archive", sound, "-o", tmp_path / "archive")[0] == 0
    assert {row["recording"] for row in read_output(tmp_path / "archive")["recordings"]} == {shown}
    code, text = run("locate", tmp_path / os.fsdecode(b"\xff.wav"), "-o", out, "--append")
    assert code == 1 and "\ufffd.wav: no such file" in text
    save_array(array(), tmp_path / "array.toml")
    code, text = run("check", path, "-a", tmp_path / "array.toml", "-o", tmp_path / "health")
    assert code == 1 and f"{shown}: 1 channel; the array has 4" in text


def test_a_file_named_lock_is_not_taken_for_one(tmp_path):
    (tmp_path / "lock").write_text("precious")
    with pytest.raises(OutputError, match="is a file of yours"), locked(tmp_path):
        pass
    assert (tmp_path / "lock").read_text() == "precious"
