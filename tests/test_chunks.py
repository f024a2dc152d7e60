"""The chunks of sound files, against files that libsndfile wrote and headers written by hand."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from whalefinder.sound.chunks import chunks

SOUND = np.zeros((100, 2))


@pytest.mark.parametrize(
    ("kind", "subtype", "sound", "size"),
    [
        ("WAV", "PCM_16", b"data", 400),
        ("RF64", "PCM_24", b"data", 600),
        ("W64", "PCM_16", b"data", 400),
        ("AIFF", "PCM_24", b"SSND", 608),
    ],
)
def test_the_sound_of_every_container_is_found(kind, subtype, sound, size):
    file = io.BytesIO()
    soundfile.write(file, SOUND, 48_000, format=kind, subtype=subtype)
    found = {chunk.id: chunk for chunk in chunks(file)}
    assert found[sound].size == size
    assert found[sound].begin + size <= len(file.getvalue())


def test_flac_blocks_are_found_behind_a_tag():
    file = io.BytesIO()
    soundfile.write(file, SOUND, 48_000, format="FLAC")
    tagged = io.BytesIO(b"ID3\3\0\0" + bytes([0, 0, 1, 2]) + bytes(130) + file.getvalue())
    plain, behind = list(chunks(file)), list(chunks(tagged))
    assert plain[0].id == b"STRE" and plain[0].size == 34
    assert [(c.id, c.begin, c.size) for c in behind] == [(c.id, c.begin + 140, c.size) for c in plain]


def test_sizes_of_more_than_4_gb_are_read():
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, 5 << 32, 3 << 32, 0, 0)
    file = io.BytesIO(b"BW64" + b"\xff" * 4 + b"WAVE" + ds64 + b"data" + b"\xff" * 4 + bytes(100))
    assert [(c.id, c.size) for c in chunks(file)] == [(b"ds64", 28), (b"data", 3 << 32)]


@given(st.sampled_from([b"RIFF", b"RF64", b"FORM", b"fLaC", b"ID3\4", b"riff"]), st.binary(max_size=300))
def test_any_bytes_are_walked_to_an_end(magic, rest):
    file = io.BytesIO(magic + rest[:4] + (b"AIFF" if magic == b"FORM" else b"WAVE") + rest)
    for chunk in chunks(file):
        assert chunk.size >= 0 and len(chunk.read(file, 64)) <= 64
