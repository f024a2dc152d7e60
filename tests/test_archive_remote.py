"""Archives in object stores, over HTTP against a server of this test."""

import os

import pytest

from tests.archives import found_in, make_archive, swim, tables, write
from whalefinder.archive import sources
from whalefinder.archive.job import make_job
from whalefinder.archive.plan import make_plan
from whalefinder.archive.run import Archive, Crew
from whalefinder.options import LocateOptions

boto3 = pytest.importorskip("boto3")
server = pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def bucket():
    """An S3 server on loopback, and an empty bucket `sea`. → its client"""
    served = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    served.start()
    host, port = served.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = boto3.client("s3")
        client.create_bucket(Bucket="sea")
        yield client
    served.stop()


def upload(client, folder, prefix):
    for path in folder.rglob("*.*"):
        client.upload_file(str(path), "sea", f"{prefix}/{path.relative_to(folder).as_posix()}")


def test_s3_gives_the_tables_of_the_local_folder_and_leaves_nothing_behind(bucket, tmp_path, monkeypatch):
    sound = make_archive(tmp_path / "local", 2)
    write(sound / "cut_20260702_100000.flac", swim()[: 3 * 48_000], subtype="PCM_16")
    write(sound / "cut_20260702_100003.flac", swim()[3 * 48_000 :], subtype="PCM_16")
    (sound / "empty.wav").write_bytes(b"")
    upload(bucket, sound, "summer")
    found_in(sound, tmp_path / "here")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    held = []
    fetch = sources._fetch

    def watched(file, folder):
        held.append(sum(len(names) for _, _, names in os.walk(tmp_path / "cache")))
        fetch(file, folder)

    monkeypatch.setattr(sources, "_fetch", watched)
    toml = tmp_path / "local" / "array.toml"
    summary = Archive(["s3://sea/summer"], toml, tmp_path / "there", LocateOptions()).run(Crew())
    assert summary.done == 3 and held == [0, 1, 2, 2]  # three recordings at most
    assert list((tmp_path / "cache").iterdir()) == []
    here, there = tables(tmp_path / "here"), tables(tmp_path / "there")
    assert all(here[name] == there[name] for name in ("detections.csv", "tracks.csv", "problems.csv"))
    assert b"s3://sea/summer/swim_20260701_100000.wav" in there["recordings.csv"]


def test_headers_are_read_without_fetching_the_files(bucket, tmp_path, monkeypatch):
    write(tmp_path / "one" / "a_20260701_100000.wav", swim())
    upload(bucket, tmp_path / "one", "head")
    taken = []
    stand_in = sources._stand_in
    monkeypatch.setattr(sources, "_stand_in", lambda *a: taken.append(a[-1]) or stand_in(*a))
    monkeypatch.setattr(sources, "_fetch", lambda *a: pytest.fail("only headers are needed"))
    (entry,) = make_plan(["s3://sea/head"], make_job(None, LocateOptions())).entries
    assert entry.frames == len(swim()) and taken == [sources.HEAD_BYTES[0]] and taken[0] < entry.files[0].size


def test_an_object_that_changes_or_vanishes_is_left_to_the_next_run(bucket, tmp_path):
    sound = make_archive(tmp_path / "local", 3)
    upload(bucket, sound, "change")
    toml, out = tmp_path / "local" / "array.toml", tmp_path / "out"
    archive = Archive(["s3://sea/change"], toml, out, LocateOptions())
    write(sound / "swim_20260701_110000.wav", swim()[::-1])
    bucket.upload_file(str(sound / "swim_20260701_110000.wav"), "sea", "change/swim_20260701_110000.wav")
    bucket.delete_object(Bucket="sea", Key="change/swim_20260701_120000.wav")
    summary = archive.run(Crew())
    reasons = dict(summary.problems)
    assert summary.done == 1 and "changed" in reasons["swim_20260701_110000.wav"]
    assert "disappeared" in reasons["swim_20260701_120000.wav"]
    summary = Archive(["s3://sea/change"], toml, out, LocateOptions()).run(Crew())
    assert summary.done == summary.units == 2
    ((name, reason),) = summary.problems
    assert name == "swim_20260701_120000.wav" and "is gone" in reason
    assert Archive(["s3://sea/change"], toml, out, LocateOptions()).run(Crew()).problems == []


def test_what_a_killed_process_had_fetched_is_swept(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead, alive = (tmp_path / f"{sources._here()}{process}-x" for process in (99999999, os.getpid()))
    elsewhere = tmp_path / "whalefinder-another-host-99999999-x"  # a temporary folder may be shared
    for folder in (dead, alive, elsewhere):
        write(folder / "a.wav", swim()[:2000])
    sources.sweep_caches()
    assert not dead.exists() and alive.exists() and elsewhere.exists()
