"""The demo: the whole loop on a dozen people, with real servers; started by `make demo`.

It is no part of the package: its faces come from packages that only a development environment has.
"""
