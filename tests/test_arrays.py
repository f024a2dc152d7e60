"""Array files: what is accepted, what is refused and how it is said."""

import numpy as np
import pytest

from whalefinder.array.array_file import load_array, save_array
from whalefinder.array.geometry import HydrophoneArray, tetrahedron
from whalefinder.array.hydrophone_table import import_table
from whalefinder.errors import ArrayError

GOOD = """
name = "pair"
sound_speed_m_s = 1480.0
heading_deg = 90.0
depth_m = 3.0
[[hydrophone]]
channel = 2
x_m = 0.0
y_m = 1.0
z_m = 0.0
[[hydrophone]]
channel = 1
x_m = 0.0
y_m = 0.0
z_m = 0.0
"""


def written(tmp_path, text):
    path = tmp_path / "array.toml"
    path.write_text(text)
    return path


def test_channels_and_heading_are_honoured(tmp_path):
    array = load_array(written(tmp_path, GOOD))
    assert array.channels == (1, 0)  # order of the file, counted from 0
    assert np.allclose(array.positions_m, [[1, 0, 0], [0, 0, 0]])  # forward looks east at heading 90
    assert array.depth_m == 3.0


def test_round_trip(tmp_path):
    array = HydrophoneArray(
        name='a "quoted" name',
        positions_m=tetrahedron(0.7),
        sound_speed_m_s=1493.5,
        channels=(3, 2, 0, 1),
        depth_m=4.5,
        min_range_m=30.0,
        position_error_m=0.002,
        timing_error_s=1e-6,
        sound_speed_error_m_s=5.0,
        sensitivity_db=(-170.0, -171.0, -169.5, -170.2),
    )
    save_array(array, tmp_path / "a.toml")
    again = load_array(tmp_path / "a.toml")
    assert np.array_equal(again.positions_m, array.positions_m)
    for name in ("name", "sound_speed_m_s", "channels", "depth_m", "min_range_m", "position_error_m", "sensitivity_db"):
        assert getattr(again, name) == getattr(array, name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("sound_speed_m_s = 1480.0", ""), "sound_speed_m_s is missing; add it .sea water"),
        (("y_m = 1.0", "y_m = 0.0"), "hydrophones 1 and 2 are 0 mm apart"),
        (("channel = 2", "channel = 3"), "no hydrophone for channel 2 .* unused_channels"),
        (("channel = 2", "channel = 1"), "channel 1 is given twice"),
        (("channel = 2", "channel = 0"), "hydrophone.1.channel = 0"),
        (("depth_m = 3.0", "depth = 3.0"), "depth is not a known entry"),
        (("depth_m = 3.0", "depth_m = -3.0"), "depth_m = -3.0"),
        (("[[hydrophone]]", "[[hydrophone"), "not a TOML file"),
        (("sound_speed_m_s = 1480.0", "sound_speed_m_s = 'fast'"), "sound_speed_m_s = 'fast'"),
    ],
)
def test_errors_name_entry_value_and_remedy(tmp_path, change, message):
    with pytest.raises(ArrayError, match=message):
        load_array(written(tmp_path, GOOD.replace(*change, 1)))


def test_one_hydrophone_and_no_file(tmp_path):
    one = GOOD[: GOOD.rindex("[[hydrophone]]")].replace("channel = 2", "channel = 1")
    with pytest.raises(ArrayError, match="at least 2"):
        load_array(written(tmp_path, one))
    with pytest.raises(ArrayError, match="cannot read the array file"):
        load_array(tmp_path / "missing.toml")


def test_unused_channels_may_be_skipped(tmp_path):
    text = GOOD.replace("channel = 2", "channel = 3").replace("depth_m", "unused_channels = [2]\ndepth_m", 1)
    assert load_array(written(tmp_path, text)).channels == (2, 0)


def test_pamguard_table(tmp_path):
    path = tmp_path / "hydrophones.csv"
    path.write_text(
        "timeExcelSerial,x,y,z,xErr,yErr,zErr,streamerId,hydrophoneId,sensitivity,gain\n"
        "0,0,0,-10,0.01,0.01,0.01,0,0,-170,0\n0,0,-3,-10,0.01,0.01,0.01,0,1,-170,0\n"
    )
    array = import_table(path, 1500.0)
    assert array.depth_m == 10.0 and array.position_error_m == pytest.approx(0.01)
    # Towed arrays have negative y: the second hydrophone is 3 m behind the first.
    assert np.allclose(array.positions_m[1] - array.positions_m[0], [0, -3, 0])


def test_a_table_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ArrayError, match="columns a, b hold no positions; needed are x, y, z in metres"):
        import_table(path, 1500.0)


SQUARE = np.array([[0, 0, -1], [1.5, 0, -1], [0, 1.5, -1], [0.25, 0.25, 0]])
PLAIN = {
    "header.csv": "x,y,z\n0,0,-1\n1.5,0,-1\n0,1.5,-1\n.25,.25,0\n",
    "bare.csv": "0,0,-1\n1.5,0,-1\n0,1.5,-1\n0.25,0.25,0\n",
    "spaces.txt": "# metres\n 0 0 -1\n1.5   0 -1\n\n0 1.5 -1\n0.25 0.25 0\n",
    "tabs.txt": "X (m)\tY (m)\tZ (m)\n0\t0\t-1\n1.5\t0\t-1\n0\t1.5\t-1\n0.25\t0.25\t0\n",
    "comma_is_point.csv": "x_m;y_m;z_m\n0;0;-1\n1,5;0;-1\n0;1,5;-1\n0,25;0,25;0\n",
    "mark.csv": "\ufeffz,y,x\n-1,0,0\n-1,0,1.5\n-1,1.5,0\n0,0.25,0.25\n",
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_tables_of_positions(tmp_path, name):
    path = tmp_path / name
    path.write_text(PLAIN[name], encoding="utf-8")
    array = import_table(path, 1484.0)
    assert np.array_equal(array.positions_m, SQUARE) and array.channels == (0, 1, 2, 3)
    save_array(array, tmp_path / "array.toml")
    assert np.array_equal(load_array(tmp_path / "array.toml").positions_m, SQUARE)


def test_a_table_in_place_of_an_array_file_is_recognised(tmp_path):
    path = tmp_path / "h.csv"
    path.write_text(PLAIN["header.csv"])
    with pytest.raises(ArrayError, match="is a table, not an array file; turn it into one with: ") as caught:
        load_array(path)
    assert str(caught.value).endswith(f"whalefinder import-array {path}")


def test_a_plain_table_may_name_channels_and_the_sound_speed(tmp_path):
    path = tmp_path / "h.csv"
    path.write_text("channel,x,y,z,sound_speed_m_s\n2,0,0,0,1490\n1,1,0,0,1490\n")
    array = import_table(path)
    assert array.channels == (1, 0) and array.sound_speed_m_s == 1490
    assert import_table(path, 1500.0).sound_speed_m_s == 1500


@pytest.mark.parametrize(
    "text, words",
    [
        ("x,y,z\n0,0,0\n1,0,0\n", "no sound speed; give it in m/s"),
        ("x,y,z,sound_speed\n0,0,0,1480\n1,0,0,1490\n", "sound_speed differs between rows"),
        ("", "holds no hydrophones"),
        ("x,y,z\n", "holds a header and no hydrophones"),
        ("1,0,0,0\n2,1,0,0\n", "4 columns without a header"),
        ("x,y,z\n0,0,0\n1,0\n", "hydrophone 2 has 2 of 3 columns"),
        ("x,y,z,sound_speed\n0,zero,0,1480\n1,0,0,1480\n", "'zero'; coordinates and channels must be numbers"),
        ("x_cm,y_cm,z_cm,sound_speed\n0,0,0,1480\n", "hold no positions"),
    ],
)
def test_what_a_plain_table_lacks_is_said_in_one_line(tmp_path, text, words):
    path = tmp_path / "h.csv"
    path.write_text(text)
    with pytest.raises(ArrayError, match=words) as caught:
        import_table(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_the_example_file_loads():
    from pathlib import Path

    example = load_array(Path(__file__).parent.parent / "examples" / "tetrahedron.toml")
    assert example.shape == "volume" and example.aperture_m == pytest.approx(0.5, abs=1e-3)
