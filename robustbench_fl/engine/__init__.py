"""Simulation of one cell: batched local training, server rounds, evaluation.

May import ``data``, ``models``, ``api`` and ``core``; knows no files, no command line and no statistics.
"""
