"""How good the classifier is. Labelled recordings come in; figures with intervals and pages go out."""
