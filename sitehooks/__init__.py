"""What `mkdocs build` makes besides the written pages: references, model cards, formulas."""
