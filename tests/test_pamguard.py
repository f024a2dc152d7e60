"""PAMGuard's files, built byte by byte (`tests/pgdf.py`), in our columns and our convention."""

import math
from math import radians

import pytest

from tests import pgdf
from whalefinder.errors import OptionError, RecordingError
from whalefinder.results.pamguard import read_pamguard, to_outside

pytest.importorskip("pypamguard", reason="pypamguard is not installed (extra 'archive')")


def read(tmp_path, content, **options):
    path = tmp_path / "Click_Detector_20170903_222855.pgdf"
    path.write_bytes(content)
    said = []
    return read_pamguard(path, say=said.append, **options), said


def test_the_bytes_are_laid_out_as_in_a_real_file():
    # Lengths that pypamguard's own recorded answer for a file of PAMGuard 2.02.16 names.
    content = pgdf.clicks_file()
    lengths, at = [], 107
    while at < len(content):
        lengths.append(int.from_bytes(content[at : at + 4], "big"))
        at += lengths[-1]
    assert int.from_bytes(content[:4], "big") == 103 and lengths == [16, 14, 64]


@pytest.mark.parametrize(
    ("angles_deg", "heading", "azimuth", "elevation"),
    [
        ((0, 0), 0, 90.0, 0.0),  # along x: starboard of an array that looks north is east
        ((90, 0), 0, 0.0, 0.0),  # ahead
        ((180, -30), 0, 270.0, -30.0),  # port, 30° down
        ((-90, 0), 45, 225.0, 0.0),  # behind an array that heads north-east
        ((30, 10), 350, 50.0, 10.0),  # 60° to starboard of 350°
    ],
)
def test_angles_of_a_volume_by_hand(tmp_path, angles_deg, heading, azimuth, elevation):
    angles = tuple(radians(angle) for angle in angles_deg)
    (row,), said = read(tmp_path, pgdf.clicks_file(pgdf.click(2.5, angles, (0.1, 0.2))), heading_deg=heading)
    assert said == []
    assert row["azimuth_deg"] == pytest.approx(azimuth, abs=1e-3)
    assert row["elevation_deg"] == pytest.approx(elevation, abs=1e-3)
    assert row["azimuth_sd_deg"] == pytest.approx(math.degrees(0.1), abs=1e-3)
    assert row["elevation_sd_deg"] == pytest.approx(math.degrees(0.2), abs=1e-3)
    assert row["ambiguity"] == ""
    ours = to_outside(*angles, heading)
    assert ours["azimuth_deg"] == pytest.approx(row["azimuth_deg"], abs=1e-3)


def test_times_band_and_label(tmp_path):
    (first, second), _ = read(tmp_path, pgdf.clicks_file(pgdf.click(2.5), pgdf.click(1.25)))
    assert [first["begin_s"], second["begin_s"]] == [1.25, 2.5]
    assert first["start_utc"] == "2017-09-03T22:28:56.250Z"
    assert first["end_s"] - first["begin_s"] == pytest.approx(50 / pgdf.RATE)
    assert (first["low_hz"], first["high_hz"], first["label"]) == (2000.0, 10_000.0, "click")
    assert first["azimuth_deg"] is None and first["probability"] is None


def test_a_line_gives_a_cone_with_both_azimuths(tmp_path):
    (row,), _ = read(tmp_path, pgdf.clicks_file(pgdf.click(1.0, (radians(30),), (0.05,))), heading_deg=10)
    assert row["azimuth_deg"] == pytest.approx(40.0) and row["elevation_deg"] is None
    assert (
        row["ambiguity"] == "cone: 30.0 deg from axis azimuth 10.0 elevation 0.0; azimuth 40.0 or 340.0 at elevation 0"
    )


def test_a_plane_and_old_clicks_are_put_in_words(tmp_path):
    angles = (radians(30), radians(10))
    (row,), _ = read(tmp_path, pgdf.clicks_file(pgdf.click(1.0, angles)), shape="plane")
    assert row["azimuth_deg"] is None and row["ambiguity"].startswith("plane: its own axes, not converted; PAMGuard's")
    notes = pgdf.note(angles, (), 3)
    (row,), _ = read(tmp_path, pgdf.clicks_file(pgdf.click(1.0, notes=notes)))
    assert row["azimuth_deg"] is None and "30.0, 10.0 deg" in row["ambiguity"]
    with pytest.raises(OptionError, match="shape 'ring' is unknown"):
        read(tmp_path, b"", shape="ring")


def test_whistles_take_the_bearing_localisers_annotation(tmp_path):
    notes = pgdf.note((radians(60), radians(-20)), (0.02, 0.03), 4)
    rows, said = read(tmp_path, pgdf.whistles_file(pgdf.whistle(3.0, notes), pgdf.whistle(4.0)))
    assert said == [] and [row["label"] for row in rows] == ["whistle", "whistle"]
    assert rows[0]["azimuth_deg"] == pytest.approx(30.0, abs=1e-3)
    assert rows[0]["elevation_deg"] == pytest.approx(-20.0, abs=1e-3)
    assert rows[0]["end_s"] - rows[0]["begin_s"] == pytest.approx(0.5)
    assert rows[1]["azimuth_deg"] is None


def test_damage_is_said_and_the_rest_is_kept(tmp_path):
    whole = pgdf.clicks_file(pgdf.click(1.0), pgdf.click(2.0), pgdf.click(3.0))
    rows, said = read(tmp_path, whole[:-150])
    assert len(rows) == 2 and "cut short" in said[0] and rows[0]["end_s"] == rows[0]["begin_s"]
    endless = pgdf.clicks_file(pgdf.click(1.0)) + b"\0" * 8  # pypamguard alone would never return
    rows, said = read(tmp_path, endless)
    assert len(rows) == 1 and "last 8 bytes" in said[0]


def test_other_files_are_refused_in_one_line(tmp_path):
    for content, words in (
        (b"", "not a binary file of PAMGuard"),
        (b"RIFF" * 20, "not a binary file of PAMGuard"),
        (whole_of("Noise Monitor", "Noise Monitor"), "from module Noise Monitor"),
        (whole_of("Click Detector", "Trigger Background"), "from module Click Detector, Trigger Background"),
        (whole_of("Bat Finder", "x"), "not registered"),
        (pgdf.header("Click Detector", "Clicks"), "ends within its header"),
    ):
        with pytest.raises(RecordingError, match=words) as caught:
            read(tmp_path, content)
        assert "\n" not in str(caught.value)
    with pytest.raises(RecordingError, match="cannot be read"):
        read_pamguard(tmp_path / "none.pgdf")


def whole_of(module, stream):
    return pgdf.header(module, stream) + pgdf.module_header() + pgdf.footers(0)
