"""Archives of many recordings: plan, work on one machine or many, continue after a crash, merge the results.

folders ─ sources → plan ─ units → crew ─ work → store ─ merge → tables
"""
