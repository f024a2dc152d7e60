"""The study of the examination paper, on our data.

Real and simulated recordings go in. A table of runs and a page come out.
"""
