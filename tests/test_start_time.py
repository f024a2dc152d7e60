"""Start times from the names that recorders give."""

from datetime import UTC, datetime

import pytest

from whalefinder.errors import RecordingError
from whalefinder.sound.start_time import start_time


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
