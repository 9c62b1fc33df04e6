"""Records to tables, pictures and pages. No torch."""
