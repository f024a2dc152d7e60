"""Parts of the site that `mkdocs build` makes: references, model cards, formulas."""
