"""The pages that staff keep open: is the stock healthy, who holds what, what must be done."""
