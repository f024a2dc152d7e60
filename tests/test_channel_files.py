"""One mono file per hydrophone: which files belong together, and which do not fit together."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.headers import harp, wav
from whalefinder.array.geometry import HydrophoneArray
from whalefinder.errors import RecordingError
from whalefinder.sound.channel_files import group_recordings
from whalefinder.sound.recording import open_recording

NOON = datetime(2023, 4, 15, 12, tzinfo=UTC)


def three(pattern, channels=(0, 1, 2), unused=()):
    return HydrophoneArray(
        name="three", positions_m=[[0, 0, 0], [1, 0, 0], [0, 1, 0]], sound_speed_m_s=1480.0, file_pattern=pattern,
        channels=channels, unused_channels=unused,
    )  # fmt: skip


def names_of(folder, names, array, seconds=(1.0, 1.0, 1.0, 1.0)):
    """The files of the recording that the last of some files is a part of, in the order of the array."""
    files = [wav(folder / name, seconds=length) for name, length in zip(names, seconds, strict=False)]
    assert group_recordings(files, array) == files[:1]
    return [path.name for path in open_recording(files[-1], array).paths]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("ch{channel}_*.wav", [f"ch{k}_20230415_120000.wav" for k in (1, 2, 3)]),
        ("ch{channel}_*.wav", [f"ch{k}_20230415_120000.wav" for k in (0, 1, 2)]),
        ("ch{channel}_*.wav", [f"ch{k:03d}_20230415_120000.wav" for k in (0, 1, 2)]),
        ("channel{channel}_*.wav", [f"channel{k}_2021-10-11_13-11-09.wav" for k in "ABC"]),
        ("*_{channel}.wav", [f"site_20230415_120000_{k}.wav" for k in "abc"]),
        ("ch{channel}_*.wav", [f"ch{k}_x.wav" for k in ("1", "02", "3")]),
        ("ch{channel}_*.wav", [f"ch{k}_x.wav" for k in ("01", "2", "003")]),
        ("a?_{channel}.wav", [f"a7_{k}.wav" for k in (1, 2, 3)]),
        ("*{channel}.wav", [f"hydrophone{k}.wav" for k in (1, 2, 3)]),
    ],
)
def test_numbers_from_0_or_1_and_letters(tmp_path, pattern, names):
    assert names_of(tmp_path, names, three(pattern)) == names


def test_channels_of_the_array_choose_among_the_files(tmp_path):
    names = [f"x{k}.wav" for k in range(4)]
    assert names_of(tmp_path, names, three("x{channel}.wav", (3, 0, 1), unused=(2,))) == ["x3.wav", "x0.wav", "x1.wav"]
    with pytest.raises(RecordingError, match=r"4 channels \(0, 1, 2, 3\), but array 'three' describes 3"):
        open_recording(tmp_path / "x0.wav", three("x{channel}.wav"))


def test_numbers_of_two_digits_without_zeros(tmp_path):
    names = [f"x{k}.wav" for k in (9, 10, 11)]
    assert names_of(tmp_path, names, three("x{channel}.wav", (8, 9, 10))) == names


def opening(path, array, message):
    with pytest.raises(RecordingError, match=message):
        open_recording(path, array)


def test_files_that_begin_at_other_times_are_not_laid_side_by_side(tmp_path):
    array = three("A.{channel}.*.wav")
    names = ("A.1.20230415T120000Z.wav", "A.2.20230415T120000Z.wav", "A.3.20230415T120001Z.wav")
    first, *_ = [wav(tmp_path / name) for name in names]
    opening(first, array, r"A.3.20230415T120001Z.wav begins 1 s later; .* cut them")
    for k, late in enumerate((0, 0, 20)):
        wav(tmp_path / f"B.{k + 1}.x.wav", harp((NOON + timedelta(milliseconds=late), 1.0)))
    opening(tmp_path / "B.1.x.wav", three("B.{channel}.*wav"), "B.3.x.wav: begins 0.02 s later .* as the headers say")


def test_lengths_that_differ_are_refused_and_ends_of_a_few_samples_are_said(tmp_path):
    array = three("x{channel}.wav")
    for k, seconds in enumerate((2.0, 2.0, 1.75)):
        wav(tmp_path / f"x{k + 1}.wav", seconds=seconds)
    opening(
        tmp_path / "x1.wav", array, r"x3.wav: lasts 1.750 s, another channel 2.000 s; .* all bearings would be wrong"
    )
    wav(tmp_path / "x3.wav", seconds=1.96)
    (line,) = open_recording(tmp_path / "x1.wav", array).warnings
    assert "x3.wav: lasts 1.960 s" in line and "only if it begins with the others" in line


def test_a_copy_that_is_cut_short_explains_a_shorter_file(tmp_path):
    array = three("x{channel}.wav")
    paths = [wav(tmp_path / f"x{k}.wav", seconds=2.0) for k in (1, 2, 3)]
    paths[1].write_bytes(paths[1].read_bytes()[:-16_000])
    recording = open_recording(paths[0], array)
    assert recording.duration_s == pytest.approx(1.0) and any("truncated" in line for line in recording.problems)


def test_a_name_that_does_not_fit_says_what_fits(tmp_path):
    opening(wav(tmp_path / "channelAB_1.wav"), three("channel{channel}_*.wav"), "a number or one letter")


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ("024", r"no file for channel 2 \(numbers from 0; there are 0, 2, 4\)"),
        ("1234", r"files of 4 channels \(1, 2, 3, 4\), but array 'three' describes 3"),
        ("ABCD", r"files of 4 channels \(A, B, C, D\)"),
        ("0246", r"files of 4 channels \(0, 2, 4, 6\)"),
        ("AC", r"no file for channel 2 \(letters from A; there are A, C\)"),
        (("1", "01", "2", "3"), "has the same number of a channel"),
    ],
)
def test_what_is_said_of_channels_is_what_there_is(tmp_path, channels, message):
    for channel in channels:
        wav(tmp_path / f"x{channel}.wav")
    opening(tmp_path / f"x{channels[0]}.wav", three("x{channel}.wav"), message)
