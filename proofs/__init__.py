"""How Holdfast's promises are proved: each of these programs argues with it for longer than a test may."""
