"""When a recording was made: headers of recorders, names against headers, duty cycles, clocks that drift."""

import struct
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from tests.headers import RATE, bext, harp, info, wamd, wav
from tests.helpers import noise
from whalefinder.errors import OptionError
from whalefinder.sound.clock import Clock, clock_of
from whalefinder.sound.header_times import READERS, Sound, header_time
from whalefinder.sound.recorders import Recorder, Times, load_recorders, times_of
from whalefinder.sound.recording import open_recording

NOON = datetime(2023, 4, 15, 12, tzinfo=UTC)


def opened(path, **options):
    return open_recording(path, times=Times(**options))


AUDIOMOTH = (
    "Recorded at 14:00:00 15/04/2023 (UTC+2) by AudioMoth 24E144085F256417 at medium gain while battery was 4.1V."
)


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        (harp((NOON + timedelta(milliseconds=250), 1.0)), NOON + timedelta(milliseconds=250)),
        (bext("2023-04-15", "12:00:00"), NOON),
        (bext("2023-04-15", "12:00:00", round((43_200 + 0.125) * RATE)), NOON + timedelta(seconds=0.125)),
        (bext("2023-04-15", "12:00:00", 7), NOON),  # a counter that is no time since midnight
        (
            (b"guan", b"GUANO|Version: 1.0\nTimestamp: 2023-04-15T05:00:00.5-07:00\nMake: x\n"),
            NOON + timedelta(seconds=0.5),
        ),
        (wamd("2023-04-15 21:30:00+09:30"), NOON),
        (info(ICMT=AUDIOMOTH), NOON),
        (info(ICMT=AUDIOMOTH.replace("(UTC+2)", "(UTC-9:30)").replace("14:00", "02:30")), NOON),
        (info(IART="x", ICRD="2023-04-15T12:00:00Z"), NOON),
        (info(ICRD="2023-04-15 13:00:00+0100"), NOON),
    ],
)
@pytest.mark.parametrize("behind", [False, True])
def test_the_time_in_a_header_is_the_start_if_the_name_has_none(tmp_path, chunk, expected, behind):
    assert opened(wav(tmp_path / "night.wav", chunk, behind=behind)).start_utc == expected


@pytest.mark.parametrize(
    "tags",
    [{"comment": AUDIOMOTH}, {"date": "2023-04-15T14:00:00+02:00"}],
)
def test_comments_of_flac(tmp_path, tags):
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 8000, 1) as file:
        for name, text in tags.items():
            setattr(file, name, text)
        file.write(noise(1, 1.0, 8000))
    assert opened(tmp_path / "a.flac").start_utc == NOON


def test_name_against_header(tmp_path):
    """A header that says its zone counts; one that does not, does not; both are named. The user counts before both."""
    local = wav(tmp_path / "20230415_140000.WAV", info(ICMT=AUDIOMOTH))
    recording = opened(local)
    assert recording.start_utc == NOON
    assert "14:00:00 UTC" in recording.warnings[0] and "+02:00" in recording.warnings[0]
    assert opened(local, utc_offset=2.0).start_utc == NOON and opened(local, utc_offset=2.0).warnings == []
    forced = opened(local, utc_offset=0.0)
    assert forced.start_utc == NOON + timedelta(hours=2) and "the name is used" in forced.warnings[0]
    zoneless = opened(wav(tmp_path / "20230415_120000.wav", bext("2023-04-15", "05:00:00")))
    assert zoneless.start_utc == NOON and "local time" in zoneless.warnings[0]
    other = opened(wav(tmp_path / "x_20230415_120000.wav", harp((NOON + timedelta(minutes=7), 1.0))))
    assert other.start_utc == NOON + timedelta(minutes=7) and "the header is used" in other.warnings[0]
    same = opened(wav(tmp_path / "y_230415_120000.x.wav", harp((NOON + timedelta(seconds=0.25), 1.0))))
    assert same.start_utc == NOON + timedelta(seconds=0.25) and same.warnings == []  # the year is sure now


def test_a_header_without_a_zone_alone_is_said(tmp_path):
    path = wav(tmp_path / "night.wav", bext("2023-04-15", "05:00:00"))
    assert "no time zone" in opened(path).warnings[0]
    assert opened(path, utc_offset=-7.0).start_utc == NOON and opened(path, utc_offset=-7.0).warnings == []


GUANO = b"guan"


@pytest.mark.parametrize(
    "chunk",
    [
        (GUANO, b"Timestamp: 2023-04-15T12:00:00+02:00"),
        info(ICMT=AUDIOMOTH.replace("14:00", "12:00")),
        info(ICRD="2023-04-15 12:00:00Z"),
        wamd("2023-04-15 12:00:00+02:00"),
        harp((NOON, 1.0)),
    ],
)
def test_the_offset_of_the_user_counts_before_that_of_a_header_alone(tmp_path, chunk):
    recording = opened(wav(tmp_path / "foo.wav", chunk), utc_offset=-7.0)
    assert recording.start_utc == NOON + timedelta(hours=7)
    assert "-07:00 is used as `utc_offset` says" in recording.warnings[0] and len(recording.warnings) == 1


@pytest.mark.parametrize(
    ("written", "hours"),
    [("+5:30", 5.5), ("z", 0.0), ("\N{MINUS SIGN}3", -3.0), (" UTC+2", 2.0), (" pdt", -7.0), ("+1400", 14)],
)
def test_zones_of_headers(tmp_path, written, hours):
    recording = opened(wav(tmp_path / "a.wav", (GUANO, f"Timestamp: 2023-04-15T12:00:00{written}".encode())))
    assert recording.start_utc == NOON - timedelta(hours=hours) and recording.warnings == []


@pytest.mark.parametrize(
    ("chunk", "word"),
    [
        ((GUANO, b"Timestamp: 2023-04-15T12:00:00+15:00"), "'+15:00', which is no offset"),
        ((GUANO, b"Timestamp: 2023-04-15T12:00:00 BST"), "BST', which can mean +01:00"),
        (wamd("2023-04-15 12:00:00 MESZ"), "'MESZ', which is no time zone that is known"),
        (info(ICMT=AUDIOMOTH.replace("14:00", "12:00").replace("+2", "+15")), "'UTC+15', which is no offset"),
        (info(ICRD="2023-04-15 12:00:00 PM"), "'PM'"),
    ],
)
def test_a_zone_of_a_header_that_cannot_be_known_gives_no_time_and_is_said(tmp_path, chunk, word):
    (line,) = (recording := opened(wav(tmp_path / "a.wav", chunk))).warnings
    assert recording.start_utc is None and word in line and "give `utc_offset`" in line
    known = opened(tmp_path / "a.wav", utc_offset=2.0)
    assert known.start_utc == NOON - timedelta(hours=2) and known.warnings == []
    named = opened(wav(tmp_path / "20230415_110000.wav", chunk))
    assert named.start_utc == NOON - timedelta(hours=1) and word in named.warnings[0]


def test_only_what_can_be_a_zone_is_called_local_time(tmp_path):
    def line(name, stamp):
        return opened(wav(tmp_path / name, (GUANO, f"Timestamp: {stamp}".encode()))).warnings

    assert "local time" in line("20230415_120000.wav", "2023-04-15T22:00:00Z")[0]
    assert "local time" not in line("20230415_120001.wav", "2023-04-19T10:00:01Z")[0]
    assert "local time" not in line("20230415_120002.wav", "2023-04-15T12:07:02Z")[0]
    assert line("20230415T120000+1000.wav", "2023-04-15T12:00:00") == []
    assert line("20230415T120001+1000.wav", "2023-04-15T02:00:01") == []


def with_rows(path, raws, change):
    """An XWAV file of 10 s for each raw file, after `change` of (clock, place, size) in its table."""
    name, body = harp(*raws)
    rows = [list(struct.unpack("<8s2I16s", body[at : at + 32])) for at in range(56, len(body), 32)]
    change(rows)
    return opened(wav(path, (name, body[:56] + b"".join(struct.pack("<8s2I16s", *row) for row in rows)), seconds=30.0))


def test_a_table_of_raw_files_that_contradicts_itself(tmp_path):
    raws = [(NOON + timedelta(minutes=k), 10.0) for k in range(3)]
    jumps = ((10.0, 50.0), (20.0, 50.0))

    def sizes(value):
        return lambda rows: [row.__setitem__(2, value) for row in rows]

    def neither(rows):
        for row in rows:
            row[1:3] = 0, 0

    for number, value in enumerate((0, 10**9, 7)):
        assert with_rows(tmp_path / f"{number}.x.wav", raws, sizes(value)).clock.jumps == jumps
    unknown = with_rows(tmp_path / "n.x.wav", raws, neither)
    assert unknown.start_utc == NOON and unknown.clock.jumps == () and "does not fit the sound" in unknown.warnings[0]
    undated = with_rows(tmp_path / "u.x.wav", raws, lambda rows: rows[0].__setitem__(0, bytes(8)))
    assert undated.start_utc is None and "no date for the first stretch" in undated.warnings[0]
    assert with_rows(tmp_path / "w.x.wav", raws, lambda rows: rows[2].__setitem__(0, bytes(8))).clock.jumps == jumps[:1]


def test_a_doubtful_name_is_settled_by_the_header(tmp_path):
    path = wav(tmp_path / "20230415_070000_CST.wav", (b"guan", b"Timestamp:2023-04-15T07:00:00-05:00"))
    assert opened(path).start_utc == NOON and opened(path).warnings == []


def test_two_times_that_do_not_fit_the_length_are_said(tmp_path):
    good = opened(wav(tmp_path / "S20230415T120000Z_E20230415T120004Z.wav", seconds=4.0))
    lost = opened(wav(tmp_path / "S20230415T130000Z_E20230415T131000Z.wav", seconds=4.0))
    assert good.warnings == [] and "600.0 s apart" in lost.warnings[0]


def test_a_duty_cycle_in_one_file(tmp_path):
    """30 s of sound every ten minutes: times go on where the sound goes on, and a hole lies between."""
    raws = [(NOON + timedelta(minutes=10 * k, milliseconds=500), 30.0) for k in range(3)]
    recording = opened(wav(tmp_path / "SOCAL_230415_120000.x.wav", harp(*raws), seconds=90.0))
    for k, (begin, _) in enumerate(raws):
        assert recording.begin_utc(30 * k + 5.0, 30 * k + 6.0) == begin + timedelta(seconds=5)
        # A few milliseconds before the border by the frames of the spectrogram, and yet a call of this stretch.
        assert recording.begin_utc(30 * k - 0.005, 30 * k + 1.0) == begin - timedelta(seconds=0.005)
    assert [(hole.begin_s, hole.end_s) for hole in recording.holes] == [(30.0, 30.0), (60.0, 60.0)]
    assert "3 stretches of sound with 1,140 s between them" in recording.warnings[0]
    assert recording.part(45.0).begin_utc(65.0, 66.0) == raws[2][0] + timedelta(seconds=5)


def test_a_start_that_the_user_corrects_keeps_the_gaps_of_the_header(tmp_path):
    raws = [(NOON + timedelta(minutes=10 * k), 10.0) for k in range(2)]
    path = wav(tmp_path / "20230415_120000.x.wav", harp(*raws), seconds=20.0)
    recording = opened(path, utc_offset=-7.0)
    assert recording.start_utc == NOON + timedelta(hours=7) and "the name is used" in recording.warnings[0]
    assert recording.begin_utc(10.0, 11.0) == NOON + timedelta(hours=7, minutes=10)


def test_raw_files_that_follow_each_other_are_one_stretch(tmp_path):
    raws = [(NOON + timedelta(seconds=10 * k, milliseconds=k % 2), 10.0) for k in range(4)]
    recording = opened(wav(tmp_path / "a.x.wav", harp(*raws), seconds=40.0))
    assert recording.holes == [] and recording.warnings == [] and recording.clock == Clock(NOON)


def test_a_table_that_is_longer_than_the_sound(tmp_path):
    raws = [(NOON + timedelta(minutes=k), 10.0) for k in range(5)]
    recording = opened(wav(tmp_path / "a.x.wav", harp(*raws), seconds=15.0))
    assert recording.clock.jumps == ((10.0, 50.0),) and "lists 3 raw files behind the end" in recording.warnings[0]


@given(st.lists(st.tuples(st.floats(0.1, 1000), st.floats(0, 5000)), max_size=6))
def test_a_clock_gives_back_the_stretches_of_which_it_was_made(parts):
    seconds, utc = 0.0, NOON
    stretches = [(0.0, NOON)]
    for sound_s, gap_s in parts:
        seconds, utc = seconds + sound_s, utc + timedelta(seconds=sound_s + gap_s)
        stretches.append((seconds, utc))
    clock = clock_of(stretches)
    for begin_s, begin in stretches:
        assert abs((clock.utc(begin_s) - begin).total_seconds()) < 0.05 * (1 + len(parts))
    assert len(list(clock.holes())) <= len(parts)


@given(st.sampled_from(sorted(READERS)), st.binary(max_size=700))
def test_any_bytes_are_a_time_or_none_but_raise_nothing_out(kind, body):
    path_bytes = wav_bytes(kind, body)
    assert header_of(path_bytes) is None or 1970 <= header_of(path_bytes).local.year < 2100


def wav_bytes(kind, body):
    head = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    inner = b"WAVE" + head + kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(inner)) + inner


def header_of(raw):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.wav"
        path.write_bytes(raw)
        return header_time(path)


def test_a_table_without_a_known_rate_is_a_start_only():
    assert len(READERS[b"harp"](harp((NOON, 10.0), (NOON, 10.0))[1], Sound()).stretches) == 1


def recorders_file(path, text):
    path.write_text(text, encoding="utf-8")
    return path


FILE = """
[[recorder]]
names = "AMAR173*"
utc_offset = "+02:00"
sync = [
    { recorder = 2023-04-01T00:00:00Z, true = 2023-04-01T00:00:00Z },
    { recorder = 2023-04-11T00:00:00Z, true = 2023-04-11T00:00:08.640Z },
]

[[recorder]]
names = "buoy2/*.WAV"
time_format = "%d%m%y_%H%M%S"
"""


def test_a_file_of_recorders_gives_each_its_offset_format_and_drift(tmp_path):
    times = Times(utc_offset=-3.0, recorders=load_recorders(recorders_file(tmp_path / "recorders.toml", FILE)))
    drifting = open_recording(wav(tmp_path / "AMAR173.20230411T020000.wav", seconds=10.0), times=times)
    assert drifting.start_utc == datetime(2023, 4, 11, 0, 0, 8, 640_000, tzinfo=UTC)  # 10 µs late in a second
    assert drifting.clock.rate == pytest.approx(1 + 1e-5)
    assert drifting.begin_utc(9.0, 9.5) == drifting.start_utc + timedelta(seconds=9.00009)
    folder = open_recording(wav(tmp_path / "buoy2" / "010423_120000.WAV"), times=times)
    assert folder.start_utc == datetime(2023, 4, 1, 15, tzinfo=UTC)
    assert open_recording(wav(tmp_path / "20230401_120000.wav"), times=times).start_utc.hour == 15


@given(st.floats(-0.009, 0.009), st.floats(-1e5, 1e5))
def test_true_times_are_reached_at_the_known_instants(drift, offset_s):
    week = timedelta(days=7)
    true = NOON + timedelta(seconds=offset_s)
    recorder = Recorder(sync=((NOON, true), (NOON + week, true + week * (1 + drift))))
    for shown, expected in recorder.sync:
        assert abs(recorder.corrected(Clock(shown)).start_utc - expected) < timedelta(microseconds=2)
    long = recorder.corrected(Clock(NOON))
    assert abs(long.utc(week.total_seconds()) - recorder.sync[1][1]) < timedelta(microseconds=2)


def test_one_known_instant_is_an_offset_and_several_are_a_broken_line():
    late = timedelta(seconds=3)
    assert Recorder(sync=((NOON, NOON + late),)).corrected(Clock(NOON - 5 * late)).start_utc == NOON - 4 * late
    day = timedelta(days=1)
    bent = Recorder(sync=((NOON, NOON), (NOON + day, NOON + day + late), (NOON + 2 * day, NOON + 2 * day + late)))
    middle = bent.corrected(Clock(NOON + 1.5 * day))
    assert middle.start_utc == NOON + 1.5 * day + late and middle.rate == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[recorder]]\n", "recorder.1.names is missing"),
        ("x = 1\n", "recorder is missing"),
        ("[[recorder]]\nnames='a'\nutcoffset=1\n", "utcoffset is not a known entry; known are names, utc_offset"),
        ("[[recorder]]\nnames='a'\nutc_offset=20\n", "recorder.1.utc_offset = 20"),
        ("[[recorder]]\nnames='a'\nutc_offset='CST'\n", "CST"),
        (
            "[[recorder]]\nnames='a'\nsync=[{recorder=2023-04-01T00:00:00, true=2023-04-01T00:00:00Z}]\n",
            "sync.1.recorder",
        ),
        (FILE.replace("08.640Z", "59.000Z").replace("00:00:59", "12:00:59"), "clocks drift by less than 1 %"),
        ("names = [", "not a TOML file"),
        ("[[recorder]]\nnames='a'\nutc_offset=true\n", "recorder.1.utc_offset = True: not allowed; give hours"),
        ("[[recorder]]\nnames='a'\ntime_format='%Y%m%d'\n", "recorder.1.time_format = '%Y%m%d': gives no hour"),
        ("[[recorder]]\nnames='a'\ntime_format='%Y%m%d%Y'\n", "recorder.1.time_format = '%Y%m%d%Y': no format"),
        ("[[recorder]]\nnames=3\n", "recorder.1.names = 3: not allowed; give a pattern"),
        ("recorder=3\n", "recorder = 3: not allowed; give a [[recorder]]"),
    ],
)
def test_errors_of_a_file_of_recorders_name_the_entry(tmp_path, text, message):
    with pytest.raises(OptionError) as error:
        load_recorders(recorders_file(tmp_path / "recorders.toml", text))
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not any(word in str(error.value) for word in ("Input", "Value error", "datetime", "should"))


def test_the_example_of_the_documentation_is_read(tmp_path):
    page = Path(__file__).parent.parent / "docs" / "how-to" / "times.md"
    example = page.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    first, second = load_recorders(recorders_file(tmp_path / "recorders.toml", example))
    assert len(first.sync) == 2 and second.utc_offset == 2.0 and second.time_format == "%d%m%y_%H%M%S"


def test_a_missing_file_of_recorders(tmp_path):
    with pytest.raises(OptionError, match="cannot be read"):
        load_recorders(tmp_path / "no.toml")


def test_a_file_of_recorders_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "r.toml").write_text("[[recorder]]\nnames='a'\n", encoding="utf-8-sig")
    assert load_recorders(tmp_path / "r.toml") == (Recorder("a"),)


def test_entries_that_count_for_no_file_are_said():
    times = Times(recorders=(Recorder("A*"), Recorder("A1*"), Recorder("b/*.wav"), Recorder("*"), Recorder("c*")))
    lines = list(times.unused(["A1.wav", "A2.wav", "x/b/1.wav", "x/d.wav"]))
    assert len(lines) == 2 and "'A1*' fits only files that an entry before it fits" in lines[0]
    assert "'c*' fits no file" in lines[1]
    assert list(Times().unused(["a.wav"])) == []


@pytest.mark.parametrize(
    ("form", "missing"),
    [
        ("%H%M%S", "year and no month and no day"), ("%Y%m%d", "no hour"), ("%d%H%M", "year and no month"), ("%Y%j", "hour"),
        ("%Y%m%d_%I%M", "hour"), ("%m%d%H", "year"), ("%Y%m%d%Y", "twice"), ("%Y%m%d_%Q", "no format"), ("", "year"),
    ],
)  # fmt: skip
def test_a_format_that_gives_no_start_is_refused(tmp_path, form, missing):
    with pytest.raises(OptionError, match=missing) as error:
        times_of(form, None, None)
    assert "`time_format`" in str(error.value) and "%Y%m%d_%H%M%S" in str(error.value)


@pytest.mark.parametrize(
    "form", ["%Y%m%d_%H%M%S", "%d.%m.%y %H", "%Y%j%H%M", "%b %d %Y %I%p", "%c", "%Y%m%dT%H%M%S.%f%z", "100%%_%Y%m%d%H"]
)
def test_formats_of_date_and_hour_are_taken(form):
    assert times_of(form, None, None).time_format == form


@pytest.mark.parametrize(("stamp", "doubtful"), [
    ("19700101_000000", True), ("20000101_000000", True), ("20000103_070000", True), ("19800101_000512", True),
    ("20000201_000000", False), ("20230101_000000", False),
])  # fmt: skip
def test_a_clock_that_was_never_set_is_said(tmp_path, stamp, doubtful):
    warnings = opened(wav(tmp_path / f"{stamp}.wav")).warnings
    assert any("never set" in line for line in warnings) == doubtful
