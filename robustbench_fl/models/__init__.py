"""The model zoo: networks as functions of flat parameters.

May import ``api`` and ``core``.
"""
