"""The options of a search for calls, the same for one file and for an archive, and where an archive is worked on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from whalefinder.errors import OptionError

ADDRESS = re.compile(r"(?:(?:tcp|tls|ws|wss|ucx)://)?(?:[^\s:/\[\]]+|\[[0-9a-fA-F:.]+\]):(?P<port>[0-9]{1,5})")
"""Address of a Dask scheduler; without a protocol it is tcp."""


@dataclass(frozen=True, kw_only=True)
class LocateOptions:
    """Options of `run_locate` and of an `Archive`; the archive's plan file keeps them.

    Args:
        segmenter, classifier: paths of weights, or None for the shipped weights.
        time_format: format of the start time in the file names, as for strptime. None: the formats of common recorders.
        utc_offset: hours from UTC of the clock that the file names show. None: what the names say, or UTC.
        recorders: path of a file that says for each recorder how its times are read (`sound.recorders`), or None.
        min_probability: report calls whose column `probability` has at least this value, 0 to 1. None: the
            shipped threshold of each label.
        all_events: also report events that are probably not calls, labelled `boat` or `ambient`.
        method: `network` for bearings that the refiner makes from those of steering, `steering` without it, or `regressor`
            for bearings from a network trained for one array.
        regressor: path of weights for `regressor`, or None for the shipped weights.
        refiner: path of weights for `network`, or None for the shipped weights.
    """

    segmenter: Path | None = None
    classifier: Path | None = None
    time_format: str | None = None
    utc_offset: float | None = None
    recorders: Path | None = None
    min_probability: float | None = None
    all_events: bool = False
    method: str = "network"
    regressor: Path | None = None
    refiner: Path | None = None


@dataclass(frozen=True)
class Crew:
    """Where the work is done.

    Args:
        workers: number of processes on this machine.
        scheduler: address of a Dask cluster to use instead, or None.
        shard: the part of the units to work on, such as "2/8", or None for all.
    """

    workers: int = 1
    scheduler: str | None = None
    shard: str | None = None

    @property
    def part(self) -> tuple[int, int]:
        """The shard as (number from 0, number of shards).

        Raises:
            OptionError: `shard` is not of the form i/n.
        """
        number, _, count = (self.shard or "1/1").partition("/")
        if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
            raise OptionError(f"`shard` {self.shard}: write i/n with 1 <= i <= n, for example 2/8")
        return int(number) - 1, int(count)

    def check(self) -> None:
        """Check the shard, and the address of the scheduler without a connection.

        Raises:
            OptionError: there is no such shard, or it cannot be an address.
        """
        _ = self.part
        found = None if self.scheduler is None else ADDRESS.fullmatch(self.scheduler)
        if self.scheduler is not None and (found is None or not 0 < int(found["port"]) < 65_536):
            raise OptionError(
                f"`scheduler` {self.scheduler} is no address; give protocol, host and port (1 to 65535), as tcp://head:8786"
            )
