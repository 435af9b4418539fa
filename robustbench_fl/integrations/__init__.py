"""Rules in a federation that is no simulation: a server with memory, and what frameworks ask of one.

May import ``engine``, ``models``, ``api`` and ``core``.
"""
