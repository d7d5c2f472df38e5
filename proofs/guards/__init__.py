"""That each guard is needed: without it at least one test goes red."""
