"""Pictures and HTML pages. Results and sound come in; files to look at and listen to go out."""
