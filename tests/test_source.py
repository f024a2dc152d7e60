"""Sound files whose headers lie: what is there is read, what is lost is said. Written by libsndfile, then spoiled by hand."""

import io
import struct

import numpy as np
import pytest
import soundfile

from bench.fuzz import FINE, mutant, outcome
from whalefinder.errors import RecordingError
from whalefinder.sound.flac import frames_in, stream_info
from whalefinder.sound.recording import open_recording
from whalefinder.sound.source import open_source

RATE, CHANNELS = 24_000, 3
SOUND = 0.05 * np.random.default_rng(4).standard_normal((3 * RATE, CHANNELS))
AS_16_BITS = np.round(SOUND * 2**15).astype("<i2")
SECOND = 2 * CHANNELS * RATE


def written(container):
    file = io.BytesIO()
    soundfile.write(file, AS_16_BITS, RATE, format=container, subtype="PCM_16")
    return bytearray(file.getvalue())


def patched(data, at, fmt, *values):
    data[at : at + struct.calcsize(fmt)] = struct.pack(fmt, *values)
    return data


def samples_of(path, size=20_000):
    source = open_source(path)
    blocks = list(source.blocks(0, source.frames, size))
    return source, np.concatenate(blocks)


def check_whole(path, data, *, said=True):
    path.write_bytes(data)
    source, samples = samples_of(path)
    assert np.array_equal(np.round(samples * 2**15), AS_16_BITS)
    assert bool(source.remarks) == said and not source.problems
    return source


@pytest.mark.parametrize("size", [0, 44, 1000, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 44, SECOND])
def test_a_wav_with_a_wrong_size_is_read_to_its_end(tmp_path, size):
    data = written("WAV")
    source = check_whole(tmp_path / "a.wav", patched(data, data.index(b"data") + 4, "<I", size))
    assert "3.0 s" in source.remarks[0]


def test_a_wrong_size_of_the_file_alone_is_no_matter(tmp_path):
    check_whole(tmp_path / "a.wav", patched(written("WAV"), 4, "<I", 77), said=False)


@pytest.mark.parametrize("sizes", [(0, 0, 0), (2**64 - 1,) * 3, (0, SECOND, 0)])
def test_an_rf64_that_was_never_closed_is_read(tmp_path, sizes):
    data = written("RF64")
    check_whole(tmp_path / "a.wav", patched(data, data.index(b"ds64") + 8, "<QQQ", *sizes))


def test_bw64_is_read_without_a_word(tmp_path):
    check_whole(tmp_path / "a.wav", patched(written("RF64"), 0, "4s", b"BW64"), said=False)


@pytest.mark.parametrize("size", [0, 24, 2**64 - 1, 24 + SECOND])
def test_a_w64_with_a_wrong_size_is_read(tmp_path, size):
    data = written("W64")
    check_whole(tmp_path / "a.w64", patched(data, data.index(b"data\xf3") + 16, "<Q", size))


@pytest.mark.parametrize(("frames", "size"), [(0, 0), (0, 8), (RATE, 8 + SECOND)])
def test_an_aiff_with_a_wrong_size_is_read(tmp_path, frames, size):
    data = written("AIFF")
    data = patched(data, data.index(b"COMM") + 10, ">I", frames)
    check_whole(tmp_path / "a.aif", patched(data, data.index(b"SSND") + 4, ">I", size))


@pytest.mark.parametrize("container", ["WAV", "RF64", "W64", "AIFF"])
def test_a_copy_that_broke_off_is_read_and_named(tmp_path, container):
    path = tmp_path / "a.wav"
    path.write_bytes(written(container)[: -SECOND * 3 // 2])
    source, samples = samples_of(path)
    assert abs(len(samples) - 1.5 * RATE) <= RATE / 10 and np.array_equal(
        np.round(samples * 2**15), AS_16_BITS[: len(samples)]
    )
    assert "truncated, 1.5 s of the 3.0 s" in source.problems[0]
    assert "copy the file again" in open_recording(path).problems[0]


def test_a_header_that_counts_itself_is_not_called_truncated(tmp_path):
    data = written("WAV")
    at = data.index(b"data") + 4
    source = check_whole(tmp_path / "a.wav", patched(data, at, "<I", len(data)))
    assert "more than there are" in source.remarks[0]


def test_a_size_that_wrapped_at_4_gb_is_unwrapped(tmp_path):
    path, header = tmp_path / "long.wav", written("WAV")[:44]
    there = 5 * 2**30 // (2 * CHANNELS) * 2 * CHANNELS
    path.write_bytes(patched(header, 40, "<I", there % 2**32))
    with path.open("r+b") as file:
        file.truncate(44 + there)  # a file of zeros that takes no room on the disk
    source = open_source(path)
    assert source.frames == there // (2 * CHANNELS) and "its header is wrong" in source.remarks[0]


@pytest.mark.parametrize(
    ("behind", "said"),
    [
        (b"LIST" + struct.pack("<I", 26) + b"INFOICMT" + struct.pack("<I", 14) + b"Recorded at 12", ""),
        (b"xyzw" + struct.pack("<I", 4) + b"1234", ""),
        (bytes(5000), "zeros follow"),
        (np.random.default_rng(0).bytes(20_000), "do not sound like it"),
    ],
)
def test_what_follows_the_sound_is_not_read_as_sound(tmp_path, behind, said):
    source = check_whole(tmp_path / "a.wav", written("WAV") + behind, said=bool(said))
    assert said in "".join(source.remarks)


def test_samples_in_the_lower_bits_are_as_loud_as_they_were(tmp_path):
    values = np.round(SOUND * 2**23).astype("<i4")
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    fmt = struct.pack("<HHIIHHHHI", 0xFFFE, CHANNELS, RATE, RATE * 4 * CHANNELS, 4 * CHANNELS, 32, 22, 24, 0) + guid
    for shift in (0, 8):
        body = (values << shift).tobytes()
        path = tmp_path / f"{shift}.wav"
        path.write_bytes(
            b"RIFF" + struct.pack("<I", 60 + len(body)) + b"WAVEfmt " + struct.pack("<I", 40) + fmt + b"data"
            + struct.pack("<I", len(body)) + body
        )  # fmt: skip
        source, samples = samples_of(path)
        assert np.abs(samples - SOUND).max() < 1e-6
        assert ("48 dB" in "".join(source.remarks)) == (shift == 0)


def flac_total(data, total):
    at = data.index(b"fLaC") + 18
    word = int.from_bytes(data[at : at + 8], "big") >> 36 << 36 | total
    return patched(data, at, ">Q", word)


@pytest.mark.parametrize("total", [0, 2 * len(SOUND), len(SOUND) // 2])
def test_a_flac_whose_header_does_not_know_its_length_is_read(tmp_path, total):
    check_whole(tmp_path / "a.flac", flac_total(written("FLAC"), total))


def test_a_flac_behind_a_tag_and_one_with_two_headers_are_read(tmp_path):
    data = written("FLAC")
    header = data[: data.index(b"\xff\xf8")]
    check_whole(tmp_path / "a.flac", b"ID3\3\0\0" + bytes([0, 0, 1, 0]) + bytes(128) + data, said=False)
    check_whole(tmp_path / "b.flac", header + flac_total(data, 0), said=False)


def test_a_flac_that_breaks_off_is_read_up_to_its_last_frame(tmp_path):
    path, data = tmp_path / "a.flac", written("FLAC")
    for total, words in ((len(SOUND), "truncated, 1.5 s of the 3.0 s"), (0, "breaks off")):
        path.write_bytes(flac_total(data, total)[: len(data) * 52 // 100])
        source, samples = samples_of(path)
        assert 1.3 * RATE < len(samples) < 1.6 * RATE
        assert np.array_equal(np.round(samples * 2**15), AS_16_BITS[: len(samples)])
        assert words in "".join(source.problems + source.remarks)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_frames_of_a_flac_cost_only_themselves(tmp_path, seed):
    path, data, rng = tmp_path / "a.flac", written("FLAC"), np.random.default_rng(seed)
    begin, length = int(rng.integers(20_000, len(data) // 2)), int(rng.integers(1, 60_000))
    if seed % 2:
        del data[begin : begin + length]  # a cluster that is missing
    else:
        data[begin : begin + length] = rng.bytes(length)
    path.write_bytes(data)
    source, samples = samples_of(path)
    lost = np.zeros(len(SOUND), bool)
    for first, last in source.damage:
        lost[first:last] = True
    assert len(samples) == len(SOUND) and 0 < lost.sum() < 6 * 4096 + length
    assert np.array_equal(np.round(samples[~lost] * 2**15), AS_16_BITS[~lost]) and not samples[lost].any()
    assert np.array_equal(samples, samples_of(path, 4096)[1])  # another size of blocks
    recording = open_recording(path)
    assert sum(block.shape[1] for block in recording.blocks()) == 2 * len(SOUND)  # 48 kHz
    assert "are damaged" in recording.problems[0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.random.default_rng(1).bytes(3000), "unreadable header"),
        (b"<!DOCTYPE html><html>404 Not Found</html>", "a web page"),
        (b"PK\x03\x04" + bytes(100), "a ZIP archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"fLaC" + bytes(3), "unreadable header"),
        (b"RIFF\x00\x00\x00\x00WAVE", "unreadable header"),
    ],
)
def test_what_is_no_sound_is_named(tmp_path, data, words):
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=words) as caught:
        open_source(path)
    assert "\n" not in str(caught.value) and "W64" in str(caught.value)


def test_any_block_size_gives_the_same_samples(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(patched(written("WAV"), 40, "<I", 0))
    source = open_source(path)
    whole = np.concatenate(list(source.blocks(1000, 50_000, 50_000)))
    for size in (999, 7001):
        blocks = list(source.blocks(1000, 50_000, size))
        assert {len(block) for block in blocks[:-1]} == {size}
        assert np.array_equal(np.concatenate(blocks), whole)


def test_damaged_headers_end_in_a_result_or_a_clear_line(tmp_path):
    for seed in range(10**6, 10**6 + 150):  # `make fuzz` reads 20,000 others
        ending, data = mutant(seed)
        path = tmp_path / f"mutant.{ending}"
        path.write_bytes(data)
        assert outcome(path) in FINE, seed


@pytest.mark.parametrize("container", ["WAV", "RF64", "W64", "AIFF"])
@pytest.mark.parametrize("size", [0, None])
def test_chunks_behind_the_sound_are_no_sound_even_where_its_size_is_wrong(tmp_path, container, size):
    data = written(container)
    if container == "W64":
        behind = b"levl" + bytes(12) + struct.pack("<Q", 48) + bytes(24)
        at = data.index(b"data\xf3") + 16
        data = patched(data, at, "<Q", 0) if size == 0 else data
    else:
        order = ">" if container == "AIFF" else "<"
        behind = (b"NAME" if container == "AIFF" else b"LIST") + struct.pack(order + "I", 20) + b"INFOISFT" + bytes(12)
        behind += b"LIST" + struct.pack(order + "I", 4) + b"abcd"
        if container == "RF64" and size == 0:
            data = patched(data, data.index(b"ds64") + 8, "<QQQ", 0, 0, 0)
        elif size == 0:
            data = patched(data, data.index(b"SSND" if container == "AIFF" else b"data") + 4, order + "I", 0)
            if container == "AIFF":
                data = patched(data, data.index(b"COMM") + 10, ">I", 0)
    path = tmp_path / "a.wav"
    path.write_bytes(data + behind)
    source, samples = samples_of(path)
    extra = len(samples) - len(AS_16_BITS)
    assert 0 <= extra <= (len(behind) // 6 if container == "AIFF" and size == 0 else 0)
    assert np.array_equal(np.round(samples[: len(AS_16_BITS)] * 2**15), AS_16_BITS) and not source.problems
    assert bool(source.remarks) == (size == 0)


def riff(*parts, pad=True):
    body = b"WAVE"
    for name, content in parts:
        body += name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2 if pad else 0)
    return b"RIFF" + struct.pack("<I", len(body)) + body


FMT = struct.pack("<HHIIHH", 1, CHANNELS, RATE, SECOND, 2 * CHANNELS, 16)


@pytest.mark.parametrize(
    "data",
    [
        riff((b"data", AS_16_BITS.tobytes()), (b"fmt ", FMT)),
        riff((b"LIST", b"odd"), (b"fmt ", FMT), (b"data", AS_16_BITS.tobytes()), pad=False),
        riff((b"fmt ", FMT[:12] + struct.pack("<H", CHANNELS) + FMT[14:]), (b"data", AS_16_BITS.tobytes())),
        riff((b"fmt ", b"\xfe\xff" + FMT[2:] + b"\0\0"), (b"data", AS_16_BITS.tobytes())),
    ],
    ids=["sound before format", "odd chunk", "bytes of one sample wrong", "extensible and short"],
)
def test_odd_but_whole_headers_are_read(tmp_path, data):
    check_whole(tmp_path / "a.wav", data, said=False)


def test_silence_and_loud_sound_behind_a_size_of_0_are_read(tmp_path):
    for name, factor, silent in (("loud", 0.7, 0), ("late", 0.05, 2 * RATE)):
        samples = (factor * np.clip(np.cumsum(SOUND, axis=0) / 10, -1, 1)).astype(np.float32)
        samples[:silent] = 0
        file = io.BytesIO()
        soundfile.write(file, samples, RATE, format="WAV", subtype="FLOAT")
        data = bytearray(file.getvalue())
        path = tmp_path / f"{name}.wav"
        path.write_bytes(patched(data, data.index(b"data") + 4, "<I", 0))
        assert len(samples_of(path)[1]) == len(samples)


def test_the_end_of_zeros_behind_the_sound_is_not_looked_for(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(written("WAV"))
    with path.open("r+b") as file:
        file.truncate(1 << 36)  # 64 GB that take no room on the disk
    assert open_source(path).frames == len(SOUND)


def flac_frames(data):
    with open_flac(data) as file:
        info = stream_info(file)
        return list(frames_in(bytes(data), info, info.begin))


def open_flac(data):
    return io.BytesIO(bytes(data))


@pytest.mark.parametrize(("first", "last"), [(0, 1), (0, 3), (5, 9), (-3, -2), (-1, None)])
def test_missing_frames_of_a_flac_move_nothing_and_are_said(tmp_path, first, last):
    path, data = tmp_path / "a.flac", written("FLAC")
    frames = flac_frames(data)
    begin, end = frames[first].at, len(data) if last is None else frames[last].at
    del data[begin:end]
    path.write_bytes(data)
    source, samples = samples_of(path, 30_000)
    lost = np.zeros(len(SOUND), bool)
    for begin, end in source.damage:
        lost[begin:end] = True
    if last is None:
        assert "truncated" in source.problems[0] and len(samples) == frames[-1].first and not lost.any()
        lost[len(samples) :] = True
    else:
        assert len(samples) == len(SOUND) and lost.sum() == sum(frame.length for frame in frames[first:last])
    assert np.array_equal(np.round(samples * 2**15)[~lost[: len(samples)]], AS_16_BITS[~lost])


def test_the_last_frame_counts_where_the_one_before_it_is_damaged(tmp_path):
    path, data = tmp_path / "a.flac", written("FLAC")
    frames = flac_frames(data)
    data[frames[-2].at : frames[-2].at + 8] = bytes(8)
    path.write_bytes(data)
    source, samples = samples_of(path)
    assert len(samples) == len(SOUND) and source.damage == [(frames[-2].first, frames[-1].first)]


def test_tags_and_zeros_around_a_flac_are_no_sound(tmp_path):
    tag = b"ID3\4\0\x10" + bytes([0, 0, 1, 0]) + bytes(128) + b"3DI\4\0\x10" + bytes([0, 0, 1, 0])
    check_whole(tmp_path / "a.flac", tag + written("FLAC") + b"TAG" + bytes(125), said=False)
    check_whole(tmp_path / "b.flac", written("FLAC") + bytes(20_000_000), said=False)


def test_two_flac_files_in_one_are_said(tmp_path):
    file = io.BytesIO()
    soundfile.write(file, AS_16_BITS[:RATE], RATE, format="FLAC", subtype="PCM_16")
    path = tmp_path / "a.flac"
    path.write_bytes(written("FLAC") + file.getvalue())
    source, samples = samples_of(path)
    assert np.array_equal(np.round(samples * 2**15), AS_16_BITS) and "another FLAC file" in source.problems[0]
