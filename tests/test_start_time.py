"""Start times from the names that recorders give."""

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalefinder.errors import RecordingError
from whalefinder.sound.start_time import start_time
from whalefinder.sound.zones import WORDS, in_words, offset_hours


def told(name, **options):
    """The start that a name tells, as ISO 8601 without the zone, or None."""
    utc = start_time(name, **options).utc
    return None if utc is None else utc.isoformat().removesuffix("+00:00")


LAYOUTS = (
    "%Y%m%d_%H%M%S", "%Y%m%dT%H%M%S", "%Y-%m-%d_%H-%M-%S", "%Y-%m-%dT%H-%M-%S", "%Y-%m-%d %H.%M.%S", "%Y_%m_%d_%H_%M_%S",
    "%Y%m%d-%H%M%S", "%Y%m%d$%H%M%S", "%Y.%m.%d_%H.%M.%S", "D%Y%m%d-T%H%M%S", "%Y-%m-%dT%H:%M:%S", "%Y%j_%H%M%S",
    "%d%b%Y_%H%M%S", "%Y-%m-%d at %H.%M.%S", "%Y%m%d-%Hh%Mm%S",
)  # fmt: skip
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)).map(lambda moment: moment.replace(microsecond=0))


@given(
    moment=MOMENTS,
    layout=st.sampled_from(LAYOUTS),
    digits=st.sampled_from(["", "000", "004", "250", "987", "667155", "5"]),
    quarters=st.one_of(st.none(), st.integers(-12, 14).map(lambda hours: 4 * hours), st.sampled_from([22, 38, -14])),
    colon=st.booleans(),
    before=st.sampled_from(["", "5147.", "AMAR173.4.", "SM2_0+1_", "S", "rpi-lab_", "671371297_", "2019_"]),
)
def test_every_layout_with_every_fraction_and_offset(moment, layout, digits, quarters, colon, before):
    """A time that is written with its offset is read back to the microsecond."""
    zone = "Z"
    local = moment
    if quarters is not None:
        offset = timedelta(minutes=15 * quarters)
        local = moment + offset
        zone = moment.replace(tzinfo=timezone(offset)).strftime("%z")
        zone = f"{zone[:3]}:{zone[3:]}" if colon else zone
    name = f"{before}{local.strftime(layout)}{'.' + digits if digits else ''}{zone}_REC.wav"
    fraction = timedelta(seconds=float(f"0.{digits or 0}"))
    found = start_time(name)
    assert abs(found.utc - moment.replace(tzinfo=UTC) - fraction) < timedelta(microseconds=2), name
    assert found.others == f"{before}{'D' if layout[0] == 'D' else ''}@_REC.wav"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("S20250723T195959.667155+1000_E20250723T205954.622398+1000_reef.wav", "2025-07-23T09:59:59.667155"),
        ("201905 8T020000+1000_REC.wav", "2019-05-07T16:00:00"),  # a day padded with a space
        ("20160131T100000+1000_REC [-27.1234+153.1234].flac", "2016-01-31T00:00:00"),  # a position is no offset
        ("rpi_2023_02_28_23_15_07_PST.wav", "2023-03-01T07:15:07"),
        ("M1_EST_20090328_000000.wav", "2009-03-28T05:00:00"),
        ("20230415_120000_UTC+2.wav", "2023-04-15T10:00:00"),
        ("20230415T120000.5Z.wav", "2023-04-15T12:00:00.500000"),
        ("20230415120000123.wav", "2023-04-15T12:00:00.123000"),
        ("12_00_00__DMY_15_04_23.wav", "2023-04-15T12:00:00"),
        ("2023-04-15 at 01.00.00 PM.wav", "2023-04-15T13:00:00"),
        ("15-04-2023_12-00-00.wav", "2023-04-15T12:00:00"),
        ("1655424023.wav", "2022-06-17T00:00:23"),
        ("1655424023500.wav", "2022-06-17T00:00:23.500000"),
        ("5AB1F2C3.WAV", datetime.fromtimestamp(0x5AB1F2C3, UTC).isoformat()[:19]),  # AudioMoth, until 2019
        ("uPAM_20230415_120000_004321.wav", "2023-04-15T12:00:00.004321"),
        ("20230415_120000_2.wav", "2023-04-15T12:00:00"),
    ],
)
def test_names_with_one_reading_are_read_without_a_word(name, expected):
    assert told(name) == expected and start_time(name).warning is None


@pytest.mark.parametrize(
    ("name", "expected", "word"),
    [
        ("20230415_120000_017.wav", "2023-04-15T12:00:00", "number of a file"),
        ("20230415_120000.1.wav", "2023-04-15T12:00:00", "not as a fraction"),
        ("20230415_120000-0700.wav", "2023-04-15T19:00:00", "offset from UTC"),
        ("20230415T120000-05.wav", "2023-04-15T17:00:00", "offset from UTC"),
        ("20230415_120000-07.wav", "2023-04-15T12:00:00", "not as an offset"),
        *(
            (f"20230415_120000_{zone}.wav", "2023-04-15T12:00:00", f"{zone} may be a time zone")
            for zone in ("pst", "Cst", "ET", "PT", "AET", "MESZ", "WIB", "CLT", "BRT")
        ),
        ("20230415_120000_096000.wav", "2023-04-15T12:00:00", "not as microseconds"),
        ("20230415_120000_048000.wav", "2023-04-15T12:00:00", "not as microseconds"),
        ("a_20230415_120000_192000_b.wav", "2023-04-15T12:00:00", "not as microseconds"),
        ("2023-04-15_12-00-00-012.wav", "2023-04-15T12:00:00", "the number of a file"),
        ("20230415_120000_XST.wav", "2023-04-15T12:00:00", "XST may be a time zone"),
        ("PDT_20230415_120000+0200.wav", "2023-04-15T10:00:00", "another part of the name says -07:00"),
        ("20230415T120000_678901_2.0dB.wav", "2023-04-15T12:00:00", "678901"),
        ("20230415_120000_121000.wav", "2023-04-15T12:00:00.121000", "fraction"),  # or ends at 12:10
        ("31-04-23_12-00-00.wav", "2031-04-23T12:00:00", "if wrong"),
        ("1704151200.wav", "2024-01-01T23:20:00", "seconds since 1970"),  # 15 April 2017, 12:00, to others
    ],
)
def test_two_readings_are_said(name, expected, word):
    assert told(name) == expected and word in start_time(name).warning


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("20230415_120000_CST.wav", "-06:00 or +08:00"),
        ("IST_20230415_120000.wav", "IST can mean"),
        ("20230415_120000_local.wav", "LOCAL"),
        ("20230415_120000+9900.wav", "no offset"),
        ("20230230_120000.wav", "no date"),
        ("20230415_240000.wav", "no date"),
        ("20230415_1200.wav", "no time to the second"),
        ("202304151200.wav", "no time to the second"),
        ("20230415.wav", "no time to the second"),
        ("04-05-2023_12-00-00.wav", "2023-04-05 or 2023-05-04"),
        ("23-04-15_12-00-00.wav", "2015-04-23 or 2023-04-15"),
    ],
)
def test_what_cannot_be_known_is_no_time_and_says_why(name, word):
    found = start_time(name)
    assert found.utc is None and word in found.warning and "give `" in found.warning


def test_a_fixed_offset_counts_and_contradictions_are_said():
    assert told("20230415_120000.wav", utc_offset=-7.0) == "2023-04-15T19:00:00"
    assert told("20230415_120000_CST.wav", utc_offset=8.0) == "2023-04-15T04:00:00"
    assert told("a_15.04.23_1200.wav", time_format="%d.%m.%y_%H%M", utc_offset=5.5) == "2023-04-15T06:30:00"
    against = start_time("20230415T120000+1000.wav", utc_offset=-7.0)
    assert against.utc.hour == 19 and "+10:00" in against.warning and "-07:00" in against.warning
    assert start_time("20230415T120000+1000.wav", utc_offset=10.0).warning is None


def test_two_times_are_begin_and_end_and_the_rest_is_the_recorder():
    names = [f"S20250723T{a}+1000_E20250723T{b}+1000_reef.wav" for a, b in (("100000", "110000"), ("110000", "120000"))]
    first, second = map(start_time, names)
    assert first.others == second.others == "S@_E@_reef.wav"
    assert first.end_utc == second.utc and (first.end_utc - first.utc).total_seconds() == 3600


def test_the_last_digit_tells_how_exact_a_time_is():
    names = ("20230415_120000.wav", "20230415_120000.123.wav", "20230415T120000.000Z.wav", "20230415_120000_123456.wav")
    assert [start_time(name).step_s for name in names] == pytest.approx([1.0, 1e-3, 1e-3, 1e-6])


@given(st.sampled_from(sorted(WORDS)), MOMENTS)
def test_words_mean_what_their_offsets_mean(word, moment):
    stamp = moment.strftime("%Y%m%d_%H%M%S")
    signed = "+00" if WORDS[word] == 0 else in_words(WORDS[word])
    assert start_time(f"{stamp}_{word}.wav").utc == start_time(f"{stamp}T".replace("_", "T")[:-1] + signed + ".wav").utc


@given(st.integers(-48, 56).map(lambda quarters: quarters / 4))
def test_offsets_are_read_as_they_are_written(hours):
    assert offset_hours(in_words(hours)) == offset_hours(f"{hours:g}") == hours


@given(st.text("0123456789TZ_-+.: ESabcPST", max_size=40))
def test_any_name_is_read_or_not_but_raises_nothing(name):
    found = start_time(name + ".wav")
    assert found.utc is None or 1970 <= found.utc.year <= 2100


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AMAR173.1.20190920T163858Z.wav", (2019, 9, 20, 16, 38, 58)),
        ("20260701_120000.WAV", (2026, 7, 1, 12)),  # AudioMoth
        ("5102.260701123456.wav", (2026, 7, 1, 12, 34, 56)),  # SoundTrap
        ("icListen_20260701_010203.wav", (2026, 7, 1, 1, 2, 3)),
        ("RTSYS_2026-07-01_01-02-03.wav", (2026, 7, 1, 1, 2, 3)),
        ("PAM_20260701_010203_456.wav", (2026, 7, 1, 1, 2, 3, 456000)),
        ("2026_07_01_23_59_59.wav", (2026, 7, 1, 23, 59, 59)),
        ("sg639_MHI_Apr2023_230411-221029.038.wav", (2023, 4, 11, 22, 10, 29)),
        ("SM4_20260701$120000.wav", (2026, 7, 1, 12)),
    ],
)
def test_usual_recorder_names(name, expected):
    assert start_time(name).utc == datetime(*expected, tzinfo=UTC)


def test_noon_is_noon():
    assert start_time("5102.260701120000.wav").utc.hour == 12  # PAMGuard #279: hh read as 12-hour clock


def test_two_digit_years_warn_and_a_name_without_a_time_has_none():
    assert "`time_format`" in start_time("5102.260701123456.wav").warning
    assert start_time("night.wav").utc is None and start_time("night.wav").warning is None
    assert start_time("20260701_120000.WAV").warning is None


def test_offsets_from_utc_count():
    assert start_time("a_20260701T120000+0200.wav", "%Y%m%dT%H%M%S%z").utc.isoformat() == "2026-07-01T10:00:00+00:00"
    assert start_time("20260701T120000-0700_REC.wav").utc.hour == 19
    assert (
        start_time("20260701_120000-0001.wav").utc.hour == 12 and start_time("20260701T120000-0001.wav").utc.hour == 12
    )


def test_a_format_of_ones_own():
    assert start_time("x_01-07-26_0102.wav", "%d-%m-%y_%H%M").utc == datetime(2026, 7, 1, 1, 2, tzinfo=UTC)
    soundtrap = start_time("1677738025.180927123000.wav", "%y%m%d%H%M%S")
    assert soundtrap.utc == datetime(2018, 9, 27, 12, 30, tzinfo=UTC)
    with pytest.raises(RecordingError, match="fits no part"):
        start_time("night.wav", "%Y%m%d")


def test_the_names_of_the_documentation_are_read():
    """All examples of docs/how-to/times.md that stand for the noon of one day are that noon."""
    page = (Path(__file__).parent.parent / "docs" / "how-to" / "times.md").read_text(encoding="utf-8")
    rows = [line.split("|")[2] for line in page.partition("## Headers")[0].splitlines() if line.startswith("| ")][2:]
    names = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert len(names) > 10
    for name in names:
        utc = start_time(name if "." in name[-4:] else f"{name}.wav").utc
        assert utc is not None and (utc.year, utc.hour) == (2026, 12), name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("20230415T120000\N{MINUS SIGN}0700.wav", "2023-04-15T19:00:00"),
        ("2023-04-15 at 11.30.00 pm.wav", "2023-04-15T23:30:00"),
        ("2023-04-15 12.30.00 am.wav", "2023-04-15T00:30:00"),
        ("20230415_120000_amplified.wav", "2023-04-15T12:00:00"),
        ("2023-04-15_12-00-00-123.wav", "2023-04-15T12:00:00.123000"),
        ("2023-04-15_12-00-00-987654.wav", "2023-04-15T12:00:00.987654"),
        ("20230415_120000_096001.wav", "2023-04-15T12:00:00.096001"),
    ],
)
def test_forms_of_phones_and_small_computers(name, expected):
    assert told(name) == expected and start_time(name).warning is None
