"""Holes: stretches of a recording in which nothing was heard, or between whose sides time has passed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hole:
    """A hole from `begin_s` to `end_s`, in seconds of the file. Both are equal where sound was cut out.

    `what` says in a few words what it is, for example "digital silence".
    """

    begin_s: float
    end_s: float
    what: str
