"""Checks of the sizes of a network when it is built. A wrong size would fail later in `forward`, or learn nothing."""

from __future__ import annotations

from whalefinder.errors import OptionError


def check_sizes(**sizes: int) -> None:
    """Check that every size is a whole number above 0.

    Raises:
        OptionError: one is not; the message names it.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise OptionError(f"{name} {size!r}: must be a whole number above 0; give 1 or more")
