"""What `locate` hears with one hydrophone: orcas of every dialect, and what it takes for one.

sounds (what is heard) → judges (what each of them hears) → tables (recall, false alarms, other species, calibration)
"""
