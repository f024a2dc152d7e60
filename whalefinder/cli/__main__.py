"""`python -m whalefinder.cli`."""

from whalefinder.cli import main

main()
