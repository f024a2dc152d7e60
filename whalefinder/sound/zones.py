"""Time zones as recorders and people write them: `Z`, `+1000`, `-07:00`, `UTC+2`, `PST`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from whalefinder.errors import OptionError

WORDS = {
    "UTC": 0.0, "GMT": 0.0, "WET": 0.0, "CET": 1.0, "CEST": 2.0, "EET": 2.0, "EEST": 3.0, "MSK": 3.0, "SAST": 2.0,
    "NST": -3.5, "NDT": -2.5, "ADT": -3.0, "EST": -5.0, "EDT": -4.0, "CDT": -5.0, "MDT": -6.0, "PST": -8.0, "PDT": -7.0,
    "AKST": -9.0, "AKDT": -8.0, "HST": -10.0, "JST": 9.0, "KST": 9.0, "HKT": 8.0, "SGT": 8.0, "AWST": 8.0, "ACST": 9.5,
    "ACDT": 10.5, "AEST": 10.0, "AEDT": 11.0, "NZST": 12.0, "NZDT": 13.0,
}  # fmt: skip
"""Words of one meaning, in hours from UTC. They count directly behind a time."""
EVERYWHERE = set(WORDS) - {"WET", "HKT", "ADT", "KST", "NST", "MSK"}
"""Words that count anywhere in a name. The others are also names of places and things."""
SEVERAL = {
    "CST": "-06:00 or +08:00", "IST": "+05:30, +01:00 or +02:00", "BST": "+01:00, +06:00 or +11:00",
    "AST": "-04:00 or +03:00", "MST": "-07:00, +08:00 or +06:30", "SST": "-11:00 or +08:00",
    "GST": "+04:00 or -02:00", "WST": "+08:00 or +13:00", "WEST": "+01:00", "LT": "any", "LST": "any", "LMT": "any",
    "LOCAL": "any", "LOCALTIME": "any",
}  # fmt: skip
"""Words of several meanings."""
UNKNOWN = set(
    "ET CT MT PT AT NT AKT AET ACT AWT NZT MEZ MESZ MET MEST WIB WITA WIT CLT CLST BRT BRST ART UYT PYT COT PET ECT VET "
    "BOT GFT FNT AMT PKT NPT BDT MMT ICT PHT MYT TRT IRST EAT CAT WAT AZOT CHAST FJT TAHT".split()
)
"""Words that are zones somewhere. They are too rare, or too short, to be believed."""
ELSEWHERE = set(SEVERAL) - {"WEST", "LT", "MST", "AST", "SST", "GST", "WST", "LOCAL"}
"""Those that make a time doubtful wherever they stand in a name."""
NO_ZONES = {"TEST", "EAST", "WEST", "POST", "LAST", "COST", "HOST", "BEST", "FAST", "COAST", "RED", "END", "CAST"}
PARTS_OF_AN_HOUR = {
    "+0330", "+0430", "+0530", "+0545", "+0630", "+0845", "+0930", "+1030", "+1245", "+1345", "-0230", "-0330", "-0930",
}  # fmt: skip
"""All offsets in use that are no whole hours."""
SIGNED = re.compile(r"[ _]?([+-])(\d{2})(?:([:h_-]?)(\d{2}))?(?!\d)|[ _]?([+-])(\d)(?!\d)")


@dataclass(frozen=True)
class Zone:
    """What follows a time.

    Args:
        hours: offset from UTC, or None if there is none that can be used.
        length: number of characters that were read.
        remark: a few words about what is doubtful, or "".
        refused: whether the time must not be used without a known offset.
    """

    hours: float | None = None
    length: int = 0
    remark: str = ""
    refused: bool = False


def offset_hours(text: str) -> float:
    """Hours of an offset from UTC such as `-7`, `5.5`, `+05:30`, `+1000` or `Z`.

    Raises:
        OptionError: it is none, or no place on earth has it.

    >>> offset_hours("+05:30"), offset_hours("-7")
    (5.5, -7.0)
    """
    text = text.strip().replace("\N{MINUS SIGN}", "-")
    found = re.fullmatch(r"(?:UTC|GMT)?([+-]?)(\d{1,2})(?::?(\d{2})|(\.\d+))?", text, re.IGNORECASE)
    if text.upper() in ("Z", "UTC", "GMT"):
        return 0.0
    if found is None or int(found[3] or 0) >= 60:
        raise OptionError(f"`utc_offset` {text!r} is no offset; give hours or hh:mm, for example -7 or +05:30")
    hours = int(found[2]) + int(found[3] or 0) / 60 + float(found[4] or 0)
    return checked(-hours if found[1] == "-" else hours)


def checked(hours: float) -> float:
    """The same hours.

    Raises:
        OptionError: no place on earth has this offset.
    """
    if not -12 <= hours <= 14:
        raise OptionError(f"`utc_offset` {hours:g} h is no offset of a place on earth; give -12 to +14 hours")
    return hours


def in_words(hours: float) -> str:
    """An offset such as `+05:30`; 0 is `UTC`."""
    if hours == 0:
        return "UTC"
    minutes = round(abs(hours) * 60)
    return f"{'-' if hours < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"


def shift(hours: float) -> timedelta:
    """An offset as a difference of times."""
    return timedelta(hours=hours)


def zone_after(text: str, *, iso: bool) -> Zone:
    """The zone at the begin of a text, which is what follows a time in a name.

    Args:
        text: what follows.
        iso: whether the time is written with ISO 8601's T, after which digits with a minus are an offset. Elsewhere
            they may be the number of a file.
    """
    if re.match(r"[zZ](?![A-Za-z])", text):
        return Zone(0.0, 1)
    word = re.match(r"[ _.(-]{0,2}([A-Za-z]+)", text)
    if word is not None:
        name = word[1] if word[1].lower() not in ("utc", "gmt", "local", "localtime") else word[1].upper()
        if name in ("UTC", "GMT"):
            signed = _signed(text[word.end() :], iso=True, sure=True)
            return signed if signed.hours is None else Zone(signed.hours, word.end() + signed.length)
        if name in WORDS:
            return Zone(WORDS[name], word.end())
        if name in SEVERAL:
            return Zone(None, word.end(), f"{name} can mean {SEVERAL[name]}", refused=True)
        if name.upper() in WORDS or (name.upper() in SEVERAL and name.upper() not in NO_ZONES):
            return Zone(remark=f"{name} may be a time zone, and only {name.upper()} would be read as one")
        if name in UNKNOWN or (re.fullmatch(r"[A-Z]{1,3}[SD]T", name) and name not in NO_ZONES):
            return Zone(remark=f"{name} may be a time zone, and is not one that is known")
    return _signed(text, iso=iso)


def _signed(text: str, *, iso: bool, sure: bool = False) -> Zone:
    found = SIGNED.match(text)
    if found is None:
        return Zone(0.0) if sure else Zone()
    sign, hour, minute = found[1] or found[5], found[2] or "0" + found[6], found[4] or "00"
    four = found[4] is not None
    possible = sign + hour + minute in PARTS_OF_AN_HOUR if minute != "00" else int(hour) <= (14 if sign == "+" else 12)
    written = found[0].strip(" _")
    if not possible and four and int(hour) <= 14:  # the minutes may belong to what follows, as in +02_30_site
        return _signed(text[: found.start(3)], iso=iso, sure=sure) if found[3] else _no_zone(written, sign)
    if not possible:
        return _no_zone(written, sign)
    hours = (int(hour) + int(minute) / 60) * (-1 if sign == "-" else 1)
    if sure or (sign == "+" and found[2]) or (sign == "-" and iso and four):
        return Zone(hours, found.end())
    if sign == "+" or four or (iso and found[2]):
        return Zone(hours, found.end(), f"{written} is read as an offset from UTC")
    return Zone(remark=f"{written} is read as a number, not as an offset from UTC")


def _no_zone(written: str, sign: str) -> Zone:
    """A number behind a minus is the number of a file; behind a plus nothing else than an offset is written."""
    return Zone(refused=True, remark=f"{written} is no offset from UTC") if sign == "+" else Zone()


def zone_elsewhere(text: str) -> Zone:
    """The zone that a word anywhere in a name gives, as in `NOPP6_EST_20090328_000000`."""
    for word in re.findall(r"(?<![A-Za-z])[A-Z]{2,9}(?![A-Za-z])", text):
        if word in EVERYWHERE:
            return Zone(WORDS[word])
        if word in ELSEWHERE:
            return Zone(None, 0, f"{word} can mean {SEVERAL[word]}", refused=True)
    return Zone()
