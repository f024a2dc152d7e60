"""A part of a file, with other bytes before it, as a file of its own."""

from __future__ import annotations

import io
import os
from typing import BinaryIO


class Spliced(io.RawIOBase):
    """A file that consists of the bytes `head` and of another file's bytes [begin, end), or to its end."""

    def __init__(self, head: bytes, file: BinaryIO, begin: int, end: int | None = None) -> None:
        self.head, self.file, self.begin, self.at = head, file, begin, 0
        last = file.seek(0, os.SEEK_END)
        self.end = last if end is None else min(end, last)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a byte, as files do."""
        length = len(self.head) + max(0, self.end - self.begin)
        self.at = offset + (0, self.at, length)[whence]
        return self.at

    def tell(self) -> int:
        """The byte that is read next."""
        return self.at

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """Fill a buffer, as files do; less at the end."""
        text = self.head[self.at : self.at + len(buffer)]
        if len(text) < len(buffer):
            at = self.begin + max(0, self.at - len(self.head))
            self.file.seek(at)
            text += self.file.read(max(0, min(len(buffer) - len(text), self.end - at)))
        buffer[: len(text)] = text
        self.at += len(text)
        return len(text)
