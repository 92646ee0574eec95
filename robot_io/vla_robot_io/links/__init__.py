"""Arms that are reached through a maker's own library: one set of rules, and one narrow link for each maker."""
