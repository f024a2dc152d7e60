"""Numbers and names in the form that people read: the right plural, a suitable unit, no exponents, no broken bytes."""

from __future__ import annotations

import math


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number of things.

    >>> count(1, "recording"), count(1200, "call"), count(0, "stretch", "stretches")
    ('1 recording', '1,200 calls', '0 stretches')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def rounded(value: float, digits: int = 3) -> str:
    """A number rounded to `digits` significant digits, with commas between thousands and no exponent.

    >>> rounded(1234.5, 2), rounded(0.002778), rounded(12.0), rounded(0.0)
    ('1,200', '0.00278', '12', '0')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    text = f"{round(value, decimals):,.{max(0, decimals)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(seconds: float) -> str:
    """A duration as text: seconds below two minutes, minutes below two hours, then hours.

    >>> duration(10), duration(90.0), duration(750), duration(9e6)
    ('10 s', '90 s', '12.5 min', '2,500 h')
    """
    if seconds < 119.5:
        return f"{rounded(seconds)} s"
    if seconds < 7200:
        return f"{rounded(seconds / 60)} min"
    hours = seconds / 3600
    return f"{rounded(hours)} h" if hours < 100 else f"{hours:,.0f} h"


REPLACED = "\ufffd"
"""What stands for bytes of a name that are not UTF-8."""


def printable(name: str) -> str:
    r"""A file name in which bytes that are not UTF-8 are replaced.

    >>> printable("l\udce9ve.wav")  # an é of Latin-1
    'l�ve.wav'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
