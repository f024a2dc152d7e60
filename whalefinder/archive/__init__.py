"""Months of recordings: plan them, work through them on one machine or many, survive everything, merge.

folders ─ sources → plan ─ units → crew ─ work → store ─ merge → tables
"""
