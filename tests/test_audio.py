"""Reading: any rate, any length of block, every damage named."""

import numpy as np
import pytest

from tests.helpers import RATE, array, needs_data, noise, write
from whalefinder.array.geometry import HydrophoneArray
from whalefinder.array.hydrophone_table import import_table
from whalefinder.errors import RecordingError
from whalefinder.sound import recording as audio
from whalefinder.sound.channel_files import group_recordings


def whole(recording):
    return np.concatenate(list(recording.blocks()), axis=1)


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [("wav", {}), ("wav", {"format": "RF64"}), ("w64", {"format": "W64"}), ("flac", {"subtype": "PCM_24"})],
)
def test_formats_give_the_samples_back(tmp_path, suffix, kind):
    samples = noise()
    if "subtype" not in kind:
        kind = {**kind, "subtype": "FLOAT"}
    recording = audio.open_recording(write(tmp_path / f"a.{suffix}", samples, **kind))
    assert np.allclose(whole(recording), samples.T, atol=2e-7)
    assert recording.problems == []


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 96_000, 11_127])
def test_resampling_keeps_delays_between_channels(tmp_path, rate):
    """A 700 Hz tone, a quarter of a period late on channel 2, stays so to a microsecond."""
    t = np.arange(2 * rate) / rate
    late = 0.25 / 700
    samples = 0.5 * np.stack([np.sin(2 * np.pi * 700 * t), np.sin(2 * np.pi * 700 * (t - late))], axis=1)
    recording = audio.open_recording(write(tmp_path / "a.wav", samples, rate, subtype="FLOAT"))
    out = whole(recording)
    assert abs(out.shape[1] - 2 * RATE) <= 2
    middle = out[:, RATE // 2 : RATE // 2 + RATE]
    tone = np.exp(-2j * np.pi * 700 * np.arange(RATE) / RATE)
    phase = np.angle((middle[0] @ tone) * np.conj(middle[1] @ tone))
    assert phase / (2 * np.pi * 700) == pytest.approx(late, abs=1e-6)


def test_segments_tile_and_do_not_depend_on_blocks(tmp_path, monkeypatch):
    samples = noise(2, 5.0)
    path = write(tmp_path / "a.wav", samples, subtype="FLOAT")

    def cut(block_s):
        monkeypatch.setattr(audio, "BLOCK_S", block_s)
        return list(audio.segments(audio.open_recording(path), 48_000, 9600, 24_000))

    first, second = cut(0.1), cut(3.3)
    assert [s.core for s in first] == [(k * 48_000, (k + 1) * 48_000) for k in range(5)]
    for a, b in zip(first, second, strict=True):
        assert a.first_sample == b.first_sample and np.array_equal(a.samples, b.samples)
        begin = a.first_sample
        assert np.allclose(a.samples, samples.T[:, begin : begin + a.samples.shape[1]], atol=1e-7)
        assert begin == max(0, a.core[0] - 9600)


def test_one_mono_file_per_channel(tmp_path):
    samples = noise(3, 2.0)
    for channel in range(3):
        write(tmp_path / f"AMAR9.{channel + 1}.20190920T163858Z.wav", samples[:, channel], subtype="FLOAT")
    three = HydrophoneArray(
        name="a",
        positions_m=[[0, 0, 0], [1, 0, 0], [0, 1, 0]],
        sound_speed_m_s=1480.0,
        file_pattern="AMAR*.{channel}.*.wav",
    )
    files = sorted(tmp_path.glob("*.wav"))
    assert group_recordings(files, three) == files[:1]
    recording = audio.open_recording(files[1], three)
    assert np.allclose(whole(recording), samples.T, atol=1e-7)
    assert recording.start_utc.isoformat() == "2019-09-20T16:38:58+00:00"
    files[2].unlink()
    with pytest.raises(RecordingError, match="no file for channel 3"):
        audio.open_recording(files[0], three)


def test_channel_map_is_honoured(tmp_path):
    samples = noise(3, 1.0)
    swapped = HydrophoneArray(
        name="a", positions_m=[[0, 0, 0], [1, 0, 0]], sound_speed_m_s=1480.0, channels=(2, 0), unused_channels=(1,)
    )
    recording = audio.open_recording(write(tmp_path / "a.wav", samples, subtype="FLOAT"), swapped)
    assert np.allclose(whole(recording), samples.T[[2, 0]], atol=1e-7)


def opening(path, message, loaded=None):
    with pytest.raises(RecordingError, match=message):
        audio.open_recording(path, loaded)


def test_recordings_that_cannot_be_opened(tmp_path):
    opening(tmp_path / "missing.wav", "no such file; check the path")
    opening(tmp_path, "is a folder")
    (tmp_path / "empty.wav").write_bytes(b"")
    opening(tmp_path / "empty.wav", "is empty .0 bytes")
    (tmp_path / "text.wav").write_text("this is not sound " * 50)
    opening(tmp_path / "text.wav", "unreadable header")
    opening(write(tmp_path / "slow.wav", noise(), 4000), "sample rate 4000 Hz; at least 8000")
    opening(write(tmp_path / "short.wav", noise()[:100]), "100 samples; at least 1024")
    opening(write(tmp_path / "six.wav", noise(6)), "6 channels, but array 'tetrahedron' describes 4", array())
    opening(tmp_path / "six.wav", "name the others in unused_channels", array())


def problems_of(path):
    recording = audio.open_recording(path)
    whole(recording)
    return recording.problems


def test_damage_is_named_and_the_rest_is_read(tmp_path):
    bad = noise()
    bad[RATE, 2] = np.nan
    (line,) = problems_of(write(tmp_path / "nan.wav", bad, subtype="FLOAT"))
    assert "not a number at 1.000 s on channel 3" in line
    (line,) = problems_of(write(tmp_path / "silent.wav", np.zeros((RATE, 4))))
    assert "silent, every sample is 0" in line
    dead = noise()
    dead[:, 1] = 0.25
    (line,) = problems_of(write(tmp_path / "dead.wav", dead, subtype="FLOAT"))
    assert "channel 2 is constant" in line
    (line,) = problems_of(write(tmp_path / "clipped.wav", np.clip(noise() * 200, -1, 1)))
    assert "clipped in" in line and "limit 0.1 %" in line


def test_a_truncated_flac_keeps_what_can_be_read(tmp_path):
    path = write(tmp_path / "a.flac", noise(2, 20.0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    recording = audio.open_recording(path)
    samples = whole(recording)
    assert 5 * RATE < samples.shape[1] < 15 * RATE
    assert any("kept" in line for line in recording.problems)


def test_the_real_six_hydrophone_array_reads():
    folder = needs_data("arrays", "xav_hydrophone_array_6ch")
    from dataclasses import replace

    table = folder / "large-array__hydrophones_config_07-HI.csv"
    xav = replace(import_table(table, 1484.0), file_pattern="AMAR*.{channel}.*.wav")
    assert xav.num_channels == 6 and xav.shape == "volume"
    files = sorted(folder.glob("*.wav"))
    assert len(files) == 6 and group_recordings(files, xav) == files[:1]
    recording = audio.open_recording(files[0], xav)
    samples = whole(recording)
    assert samples.shape[0] == 6 and samples.shape[1] == pytest.approx(17 * RATE, abs=10)
