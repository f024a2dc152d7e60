"""PAMGuard binary files, byte by byte, as PAMGuard 2.02 lays them out.

No real file may be in the repository, so these are built; the lengths of header and footers are checked in
`test_pamguard` against those that a real file (PAMGuard 2.02.16) has.
"""

from __future__ import annotations

import struct

START_MS = 1_504_477_735_000  # 2017-09-03 22:28:55 UTC
RATE = 500_000
FLAGS = {"channels": 2, "uid": 3, "start": 4, "duration": 5, "band": 6, "notes": 9}


def text(words: str) -> bytes:
    return struct.pack(">h", len(words)) + words.encode()


def chunk(identifier: int, content: bytes, missing: int = 0) -> bytes:
    return struct.pack(">ii", 8 + len(content) - missing, identifier) + content


def header(module: str, stream: str, name: str | None = None) -> bytes:
    content = struct.pack(">i", 7) + b"PAMGUARDDATA" + text("2.02.16") + text("CORE")
    content += struct.pack(">qqq", START_MS, START_MS + 10**9, 0)
    content += text(module) + text(name or module) + text(stream) + struct.pack(">i", 0)
    return chunk(-1, content, missing=4)  # as PAMGuard writes it


def module_header(version: int = 4, content: bytes = b"") -> bytes:
    return chunk(-3, struct.pack(">ii", version, len(content)) + content)


def footers(units: int, seconds: float = 60.0, content: bytes = b"\0\0") -> bytes:
    end = struct.pack(
        ">iqqqqqqi", units, START_MS + round(seconds * 1000), START_MS + 2 * 10**9, round(seconds * RATE), 1, 9, 0, 2
    )
    return chunk(-4, struct.pack(">i", len(content)) + content) + chunk(-2, end)


def floats(values: tuple[float, ...]) -> bytes:
    return struct.pack(f">h{len(values)}f", len(values), *values)


def note(angles: tuple[float, ...], errors: tuple[float, ...], array_type: int) -> bytes:
    """A bearing localiser's annotation."""
    content = text("Bearing") + struct.pack(">h", 1) + text("MVDR") + struct.pack(">IhI", 0b1111, array_type, 1)
    content += floats(angles) + floats(errors)
    whole = struct.pack(">h", 1) + struct.pack(">h", len(content) + 2) + content
    return struct.pack(">h", len(whole) + 2) + whole


def unit(at_s: float, content: bytes, samples: int = 50, notes: bytes = b"", identifier: int = 1000) -> bytes:
    flags = 1 | sum(1 << FLAGS[name] for name in ("channels", "uid", "start", "duration", "band"))
    flags |= bool(notes) << FLAGS["notes"]
    data = struct.pack(">qh", START_MS + round(at_s * 1000), flags)
    data += struct.pack(">iqqi", 0b1111, 5, round(at_s * RATE), samples) + struct.pack(">ff", 2000.0, 10_000.0)
    return chunk(identifier, data + struct.pack(">i", len(content)) + content + notes)


def click(at_s: float, angles: tuple[float, ...] = (), errors: tuple[float, ...] = (), notes: bytes = b"") -> bytes:
    content = struct.pack(">ihi", 0b1111, 0, 0) + floats(angles) + floats(errors) + struct.pack(">f", 0.01)
    return unit(at_s, content + bytes(4 * 50), notes=notes)


def whistle(at_s: float, notes: bytes = b"") -> bytes:
    slices = b"".join(struct.pack(">ib4h", k, 1, 40, 42, 44, 0) for k in range(3))
    return unit(at_s, struct.pack(">hh", 3, 12_000) + slices, samples=RATE // 2, notes=notes)


def clicks_file(*units: bytes, version: int = 4) -> bytes:
    return header("Click Detector", "Clicks") + module_header(version) + b"".join(units) + footers(len(units))


def whistles_file(*units: bytes) -> bytes:
    scale = struct.pack(">i", 1)
    return (
        header("WhistlesMoans", "Contours")
        + module_header(2, scale)
        + b"".join(units)
        + footers(len(units), content=b"")
    )
