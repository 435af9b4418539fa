"""Data sets, partitions, and the federation that a cell trains on.

May import ``api`` and ``core``.
"""
