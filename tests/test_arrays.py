"""Array files: what is accepted, what is refused and how it is said."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers import array, needs_data
from whalefinder.array.array_file import load_array, save_array
from whalefinder.array.geometry import HydrophoneArray, tetrahedron
from whalefinder.array.hydrophone_table import import_table
from whalefinder.array.physics import oddities
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
        ("x,y,z,sound_speed\n0,zero,0,1480\n1,0,0,1480\n", "hydrophone 1: y = 'zero' is no number; give metres"),
        ("x_cm,y_cm,z_cm,sound_speed\n0,0,0,1480\n", "hold no positions"),
        (
            "x,y,z\n0,0,0\n0,5,0,0\n",
            "hydrophone 2 has 4 of 3 columns; divide them by semicolons where commas are decimal points",
        ),
        ("x,y,z,sound_speed\n0,0,,1480\n", "hydrophone 1: z = '' is no number"),
        ("x,y,z,sound_speed\n0,0,0 m,1480\n", "z = '0 m' is no number; give metres without the unit"),
        ("x,y,z,channel,sound_speed\n0,0,0,1.5,1480\n", "channel = 1.5 is no channel"),
        (
            "x,y,z,channel,sound_speed\n0,0,0,20000000,1480\n1,0,0,1,1480\n",
            "channel = 20000000: must be less than or equal to 1024",
        ),
        ("x,y,z,x,sound_speed\n0,0,0,0,1480\n", "has two columns 'x'"),
        ("x,y,z,sound_speed\n0,0,0,1480\n1e30,0,0,1480\n", r"x_m = 1e\+30: must be less"),
    ],
)
def test_what_a_plain_table_lacks_is_said_in_one_line(tmp_path, text, words):
    path = tmp_path / "h.csv"
    path.write_text(text)
    with pytest.raises(ArrayError, match=words) as caught:
        import_table(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "channels", "said"),
    [
        ("name,channel,x,y,z\na,4,0,0,0\nb,3,1,0,0\nc,2,0,1,0\nd,1,0,0,1\n", (3, 2, 1, 0), ()),
        ("x,y,z,CH\n0,0,0,2\n1,0,0,1\n", (1, 0), ()),
        ("hydrophone\tx\ty\tz\n2\t0\t0\t0\n1\t0,5\t0\t0\n", (1, 0), ()),
        ("hydrophone,ch,x,y,z\nH9,2,0,0,0\nH3,1,1,0,0\n", (1, 0), ()),
        ("id,x,y,z\n1,0,0,0\n0,1,0,0\n", (1, 0), ("channels count from 0; written from 1",)),
        ("id,x,y,z,gain\n2,0,0,0,20\n1,1,0,0,20\n", (1, 0), ("not used: gain",)),
        ("channel,x,y,z\n1,0,0,0\n2,1,0,0\n5,0,1,0\n", (0, 1, 4), ("channel 3, 4 of 5",)),
        ("x,y,z,xErr\n0,0,0,1\n1,0,0,1\n", (0, 1), ("not used: xErr",)),
    ],
)
def test_the_channels_of_a_table_are_read_and_what_is_not_is_said(tmp_path, text, channels, said):
    (tmp_path / "h.csv").write_text(text)
    lines = []
    array = import_table(tmp_path / "h.csv", 1480.0, say=lines.append)
    assert array.channels == channels
    assert len(lines) == len(said) and all(part in line for part, line in zip(said, lines, strict=True))
    save_array(array, tmp_path / "a.toml")
    assert load_array(tmp_path / "a.toml").channels == channels


def test_a_table_may_hold_sensitivities(tmp_path):
    (tmp_path / "h.csv").write_text("x,y,z,sensitivity_db\n0,0,0,-170\n1,0,0,-172\n")
    assert import_table(tmp_path / "h.csv", 1480.0).sensitivity_db == (-170.0, -172.0)


@pytest.mark.parametrize(
    "content",
    [
        "x,y,z\n0,0,0\n0.5,0,-1\n".encode("utf-16"),
        b"sep=;\r\nx;y;z\r\n0;0;0\r\n0,5;0;-1\r\n",
        b"x\ty\tz\n0\t0\t0\n0,5\t0\t-1\n",
        b"x y z\n0 0 0\n0,5 0 -1\n",
        b"0,0 0 0\n0,5 0 -1\n",
        b"0, 0, 0\n0.5, 0, -1,\n",
    ],
)
def test_tables_as_spreadsheets_write_them(tmp_path, content):
    (tmp_path / "h.csv").write_bytes(content)
    assert import_table(tmp_path / "h.csv", 1480.0).positions_m.tolist() == [[0, 0, 0], [0.5, 0, -1]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file.*give the path of a table"),
        ("é,x,y,z\n".encode("latin-1"), "save it as UTF-8"),
        ("x,y,z\n".encode("utf-16-le"), "save it as CSV in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_read_is_told_what_to_do(tmp_path, content, words):
    if content is not None:
        (tmp_path / "h.csv").write_bytes(content)
    with pytest.raises(ArrayError, match=words):
        import_table(tmp_path / "h.csv", 1480.0)


def test_the_example_file_loads():
    from pathlib import Path

    example = load_array(Path(__file__).parent.parent / "examples" / "tetrahedron.toml")
    assert example.shape == "volume" and example.aperture_m == pytest.approx(0.5, abs=1e-3)


def refused(tmp_path, text):
    with pytest.raises(ArrayError) as reason:
        load_array(written(tmp_path, text))
    (line,) = str(reason.value).splitlines()
    return line


SENSITIVE = GOOD.replace("z_m = 0.0", "z_m = 0.0\nsensitivity_db = -170.0")


@pytest.mark.parametrize(
    ("text", "change", "words"),
    [
        (SENSITIVE, ("-170.0", "170.0"), ("sensitivity_db = 170", "-260…-90", "the sign is missing")),
        (SENSITIVE, ("-170.0", "-50.0"), ("sensitivity_db = -50", "V/Pa is 120 dB higher")),
        (SENSITIVE, ("depth_m", "full_scale_v = 32768\ndepth_m"), ("full_scale_v = 32768", "not counts")),
        (SENSITIVE, ("depth_m", "full_scale_v = 1e-30\ndepth_m"), ("full_scale_v = 1e-30", "not counts")),
        (GOOD, ("channel = 2", "channel = 20000000"), ("20000000", "1024")),
        (GOOD, ("channel = 2", "channel = 1000"), ("channel 2 although channels go up to 1000",)),
        (GOOD, ("z_m = 0.0", "z_m = 3.4"), ("channel 2 is 0.4 m above the water", "depth_m is 3", "z_m counts upward")),
        (GOOD, ("heading_deg = 90.0", "pitch_deg = 90.0\nmin_range_m = 1e9"), ("min_range_m = 1000000000.0", "50000")),
        (GOOD, ("heading_deg", "position_error_m = 5.0\nheading_deg"), ("position_error_m = 5", "1 m", "5 mm are 0.005")),
        (GOOD, ("heading_deg", "timing_error_s = 20.0\nheading_deg"), ("timing_error_s = 20", "0.00068 s", "seconds")),
        (GOOD, ("heading_deg", "sound_speed_error_m_s = 300\nheading_deg"), ("sound_speed_error_m_s = 300", "1480")),
        (GOOD, ("1480.0", "343.0"), ("depth_m = 3 with sound_speed_m_s = 343", "air", "1480")),
        (GOOD, ("1480.0", "nan"), ("sound_speed_m_s = nan", "finite number", "1480")),
        (GOOD, ("x_m = 0.0", "x_m = inf"), ("hydrophone.1.x_m = inf", "finite number", "metres")),
        (GOOD, ("x_m = 0.0", "x_m = '0.0'"), ("hydrophone.1.x_m = '0.0'", "must be a valid number", "metres")),
        (GOOD, ("channel = 2", "channel = true"), ("hydrophone.1.channel = True", "count from 1")),
        (GOOD, ("heading_deg = 90.0", "heading_deg = 400"), ("heading_deg = 400", "360", "clockwise from true north")),
        (GOOD, ("heading_deg", "file_pattern = 'a*.wav'\nheading_deg"), ("'a*.wav'", "{channel} once")),
        (GOOD, ("heading_deg", "file_pattern = 'x/{channel}.wav'\nheading_deg"), ("without folder",)),
        (GOOD, ("heading_deg", "Heading_deg"), ("Heading_deg is not a known entry", "did you mean heading_deg?")),
        (GOOD, ("sound_speed_m_s", "soundspeed"), ("soundspeed is not", "did you mean sound_speed_m_s?")),
        (GOOD, ("x_m", "x"), ("hydrophone.1.x is not a known entry of a hydrophone", "did you mean x_m?")),
        (GOOD, ("z_m = 0.0", "z_m = 0.0\ncolour = 1"), ("of a hydrophone", "known are channel, x_m, y_m, z_m")),
        (GOOD + "min_range_m = 5.0\n", ("a", "a"), ("hydrophone.2.min_range_m", "above the first [[hydrophone]]")),
        (GOOD, ("heading_deg = 90.0", "x_m = 1.0"), ("x_m is not", "below its [[hydrophone]]")),
        ("sound_speed_m_s = 1480.0\n[hydrophone]\nchannel = 1\n", ("a", "a"), ("hydrophone = {", "two brackets")),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(tmp_path, text, change, words):
    line = refused(tmp_path, text.replace(*change, 1))
    assert all(word in line for word in words), line


def test_pitch_can_lift_a_hydrophone_out_of_the_water(tmp_path):
    """y_m = 4 on an array 3 m deep: level it is under water, upright it is 1 m above."""
    text = GOOD.replace("y_m = 1.0", "y_m = 4.0")
    assert load_array(written(tmp_path, text)).depth_m == 3.0
    assert "channel 2 is 1 m above the water" in refused(
        tmp_path, text.replace("heading_deg", "pitch_deg = 90.0\nheading_deg")
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_files_of_any_editor(tmp_path, encoding, ending):
    path, text = tmp_path / "array.toml", GOOD.replace('"pair"', '"Größe"').replace("\n", ending)
    path.write_bytes((b"\xff\xfe" if encoding == "utf-16-le" else b"") + text.encode(encoding))
    assert load_array(path).name == "Größe"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("1480.0", "1480.0"), ()),
        (("depth_m = 3.0\n", ""), ()),
        (("1480.0", "1200.0"), ("sound_speed_m_s = 1200 is neither air nor water",)),
        (("1480.0\n", "1480.0\nposition_error_m = 0.3\n"), ("position_error_m = 0.3 is large",)),
        (("1480.0\n", "1480.0\ntiming_error_s = 3e-4\n"), ("timing_error_s = 0.0003 is large",)),
        (("y_m = 1.0", "y_m = 250.0"), ("are x_m, y_m, z_m in metres?",)),
    ],
)
def test_what_is_odd_is_said(tmp_path, change, words):
    said = list(oddities(load_array(written(tmp_path, GOOD.replace(*change, 1)))))
    assert len(said) == len(words) and all(word in line for word, line in zip(words, said, strict=True))


def test_an_odd_full_scale_is_said(tmp_path):
    text = SENSITIVE.replace("depth_m", "full_scale_v = {}\ndepth_m")
    assert not list(oddities(load_array(written(tmp_path, text.format(2.5)))))
    for volts in (500.0, 1e-4):
        (line,) = oddities(load_array(written(tmp_path, text.format(volts))))
        assert f"full_scale_v = {volts:g} is unusual" in line and "not counts" in line


def test_entries_at_the_wrong_place_are_told_where_they_belong(tmp_path):
    assert "take the line [array] away" in refused(tmp_path, "[array]\nsound_speed_m_s = 1480.0\n")
    line = refused(tmp_path, "sound_speed_m_s = 1480.0\nhydrophone = [[0, 0, 0], [1, 0, 0]]\n")
    assert "hydrophone.1 = [0, 0, 0]: must be a table of entries" in line and "_Hydrophone" not in line
    (tmp_path / "array.toml").write_bytes(GOOD.replace("pair", "\xe9").encode("latin-1"))
    with pytest.raises(ArrayError, match="save it as UTF-8"):
        load_array(tmp_path / "array.toml")


def test_odd_sensitivities_and_air(tmp_path):
    (line,) = oddities(load_array(written(tmp_path, SENSITIVE)))
    assert "without full_scale_v" in line
    (line,) = oddities(load_array(written(tmp_path, GOOD.replace("1480.0", "343.0").replace("depth_m = 3.0\n", ""))))
    assert "343 is that of air" in line


@pytest.mark.parametrize(
    ("angles", "place"),
    [
        ({"heading_deg": 90.0}, [1.0, 0.0, 0.0]),  # forward looks east
        ({"heading_deg": 30.0}, [0.5, 3**0.5 / 2, 0.0]),
        ({"pitch_deg": 90.0}, [0.0, 0.0, 1.0]),  # forward looks up
        ({"heading_deg": 180.0, "pitch_deg": 30.0}, [0.0, -(3**0.5) / 2, 0.5]),
        ({"roll_deg": 90.0}, [0.0, 1.0, 0.0]),  # about the axis itself
    ],
)
def test_a_table_is_turned_as_an_array_file(tmp_path, angles, place):
    """One hydrophone 1 m forward of the other: hand-worked east, north, up, in tables of every kind and in a file."""
    for header, row in (("x,y,z", "{},{},{}"), ("name,x,y,z,audio_file_channel", "A,{},{},{},{n}"),
                        ("hydrophoneId,x,y,z,xErr,yErr,zErr", "{n},{},{},{},0,0,0")):  # fmt: skip
        path = tmp_path / "h.csv"
        path.write_text("\n".join([header, row.format(0, 0, 0, n=0), row.format(0, 1, 0, n=1)]) + "\n")
        first, second = import_table(path, 1480.0, **angles).positions_m
        assert np.allclose(second - first, place)
    entries = "".join(f"{name} = {value}\n" for name, value in angles.items())
    text = GOOD.replace("heading_deg = 90.0\n", entries)
    second, first = load_array(written(tmp_path, text)).positions_m
    assert np.allclose(second - first, place)


def test_import_takes_the_other_facts_and_refuses_what_cannot_be(tmp_path):
    (tmp_path / "h.csv").write_text("x,y,z\n0,0,0\n0,1,0\n")
    array = import_table(tmp_path / "h.csv", 1480.0, position_error_m=0.01, timing_error_s=None, min_range_m=5.0)
    assert (array.position_error_m, array.timing_error_s, array.min_range_m) == (0.01, 0.0, 5.0)
    for facts, words in (
        ({"position_error_m": 5.0}, "position_error_m = 5"),
        ({"depth_m": 0.5, "pitch_deg": 90.0}, "above the water"),
        ({"depth_m": math.nan}, "depth_m = nan"),
        ({"min_range_m": 0.0}, "min_range_m = 0 must be a number above 0"),
        ({"file_pattern": "a.wav"}, "holds {channel} once"),
    ):
        with pytest.raises(ArrayError, match=words):
            import_table(tmp_path / "h.csv", 1480.0, **facts)


def test_real_arrays_load(tmp_path):
    folder = needs_data("arrays", "xav_hydrophone_array_6ch")
    for path in folder.glob("*hydrophones_config*.csv"):
        array = import_table(path, 1484.0)
        save_array(array, tmp_path / "a.toml")
        assert load_array(tmp_path / "a.toml").num_channels == array.num_channels >= 4


def test_a_table_says_its_channels_or_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    for column in ("channel", "ch", "hydrophone"):
        path.write_text(f"name,{column},x,y,z\na,3,0,0,0\nb,2,1,0,0\nc,1,0,1,0\n")
        assert import_table(path, 1480.0).channels == (2, 1, 0)
    path.write_text("channel,x,y,z\n0,0,0,0\n1,1,0,0\n2,0,1,0\n")
    assert import_table(path, 1480.0).channels == (0, 1, 2)
    pamguard = "hydrophoneId,x,y,z\n1,0,0,0\n2,1,0,0\n{},0,1,0\n"
    path.write_text(pamguard.format(3))
    assert import_table(path, 1480.0).channels == (0, 1, 2)
    path.write_text(pamguard.format(3).replace("1,0,0,0\n", "0,0,0,0\n"))
    gap = import_table(path, 1480.0)
    assert gap.channels == (0, 2, 3) and gap.unused_channels == (1,)


def test_decimal_commas_are_read_or_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x\ty\tz\n0,5\t0\t-1\n0\t0\t0\n")
    assert import_table(path, 1480.0).positions_m[0].tolist() == [0.5, 0.0, -1.0]
    path.write_text("x,y,z\n0,5,0,0\n0,0,0\n")
    with pytest.raises(ArrayError, match="hydrophone 1 has 4 of 3 columns; divide them by semicolons"):
        import_table(path, 1480.0)


def test_a_channel_that_cannot_be_is_refused_at_once(tmp_path):
    path = tmp_path / "a.toml"
    save_array(array(), path)
    path.write_text(path.read_text().replace("channel = 4", "channel = 20000000"))
    with pytest.raises(ArrayError, match="less than or equal to 1024"):
        load_array(path)
    path.write_text(path.read_text().replace("channel = 20000000", "channel = 1000"))
    with pytest.raises(ArrayError, match="no hydrophone for channel 4") as caught:
        load_array(path)
    assert len(str(caught.value)) < 400


def test_counts_are_no_volts():
    loud = replace(array(), sensitivity_db=(-200.0,) * 4, full_scale_v=32768.0)
    assert any("volts, not counts" in line for line in oddities(loud))
    assert not any("full_scale_v" in line for line in oddities(replace(loud, full_scale_v=2.5)))
