"""Months of recordings: plan them, work through them on one machine or many, survive everything, merge.

folders ─ sources → plan ─ units → crew ─ work → store ─ merge → tables
"""

from whalefinder.archive.job import ArchiveOptions
from whalefinder.archive.merge import merged
from whalefinder.archive.plan import Plan, make_plan, seams
from whalefinder.archive.planfile import load_plan
from whalefinder.archive.run import Archive, ArchiveSummary, Crew, merge

__all__ = [
    "Archive",
    "ArchiveOptions",
    "ArchiveSummary",
    "Crew",
    "Plan",
    "load_plan",
    "make_plan",
    "merge",
    "merged",
    "seams",
]
