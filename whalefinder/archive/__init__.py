"""Months of recordings: plan, work on one machine or many, continue after any crash, merge the results.

folders ─ sources → plan ─ units → crew ─ work → store ─ merge → tables
"""
