"""What was found comes in; tables, data sets and answers to questions go out."""
