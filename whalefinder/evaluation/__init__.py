"""Evaluation of the classifier. Labelled recordings come in; figures with intervals, and pages, go out."""
