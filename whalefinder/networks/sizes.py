"""The sizes of a network, checked where it is built: what is refused here would fail in `forward`, or learn nothing."""

from __future__ import annotations

from whalefinder.errors import OptionError


def check_sizes(**sizes: int) -> None:
    """Every size must be a whole number above 0.

    Raises:
        OptionError: one is not.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise OptionError(f"{name} {size!r}: must be a whole number above 0; give 1 or more")
