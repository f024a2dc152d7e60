"""The study of the examination paper, on our data. Real and simulated recordings come in; a table of runs and a page go out."""
