"""Results and sound come in; pictures and pages to look at go out."""
