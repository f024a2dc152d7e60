"""Labelled recordings and verdicts come in; figures, their intervals and pages go out."""
