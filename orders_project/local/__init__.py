"""Everything `make run` and `make test` need on one machine: embedded servers and a supervisor.

A leaf: it uses the standard library and psycopg only, and production never imports more of it than
the functions that compute a URL.
"""
