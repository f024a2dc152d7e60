"""Pictures and HTML pages. Results and sound come in; pictures, sound clips and pages go out."""
