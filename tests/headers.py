"""WAV and FLAC files with the chunks in which recorders write the time."""

from __future__ import annotations

import struct
from datetime import datetime
from pathlib import Path
from zlib import crc32

import numpy as np

RATE = 8000


def wav(path: Path, *chunks: tuple[bytes, bytes], seconds: float = 1.0, behind: bool = False, rate: int = RATE) -> Path:
    """A mono WAV file of noise with more chunks, before or behind the sound. Files of other names have other noise."""
    sound = (
        np.random.default_rng(crc32(path.name.encode()))
        .integers(-300, 300, round(seconds * rate))
        .astype("<i2")
        .tobytes()
    )
    more = b"".join(name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2) for name, body in chunks)
    head = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    data = b"data" + struct.pack("<I", len(sound)) + sound
    body = b"WAVE" + head + (data + more if behind else more + data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def harp(*raws: tuple[datetime, float], rate: int = RATE) -> tuple[bytes, bytes]:
    """XWAV's chunk: for each raw file its begin and its length in seconds."""
    body = struct.pack("<B10s4s4s8sB8sHiih8s", 1, b"V2.64", b"DL10", b"SITE", b"EXPT", 1, b"", len(raws), 0, 0, 0, b"")
    at = 100 + 32 * len(raws)
    for when, seconds in raws:
        size = round(seconds * rate) * 2
        clock = (when.year - 2000, when.month, when.day, when.hour, when.minute, when.second, when.microsecond // 1000)
        body += struct.pack("<6BHIIIIB7s", *clock, at, size, size // 512, rate, 0, b"")
        at += size
    return b"harp", body


def bext(day: str, clock: str, samples: int = 0, text: str = "") -> tuple[bytes, bytes]:
    """The chunk of broadcast WAV: date, time, and samples since midnight."""
    head = text.encode().ljust(256, b"\0") + b"recorder".ljust(64, b"\0") + day.encode() + clock.encode()
    return b"bext", (head + struct.pack("<Q", samples)).ljust(602, b"\0")


def info(**texts: str) -> tuple[bytes, bytes]:
    """LIST/INFO with entries such as ICMT."""
    body = b"INFO"
    for name, text in texts.items():
        raw = text.encode() + b"\0"
        body += name.encode() + struct.pack("<I", len(raw)) + raw + b"\0" * (len(raw) % 2)
    return b"LIST", body


def wamd(text: str) -> tuple[bytes, bytes]:
    """Wildlife Acoustics' chunk, with a version and a start."""
    entries = ((0, b"\1\0"), (1, b"SM4"), (5, text.encode()))
    return b"wamd", b"".join(struct.pack("<HI", kind, len(raw)) + raw for kind, raw in entries)
