"""Thousands of nonsensical requests, forms, files and frames: nothing falls over, and nothing answers what is not
documented."""
