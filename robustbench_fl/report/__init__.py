"""Renderers: tables as text, figures, and the files of a sweep's folder.

May import ``analysis`` and ``core``, and never torch.
"""
