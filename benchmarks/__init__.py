"""How fast Holdfast is and what bounds it. `rows` has the table, and `make bench` measures it."""
