"""From a sweep's description to finished cells: configuration, plan, selection, the run, and verification.

May import ``engine``, ``data``, ``models``, ``api``, ``store`` and ``core``. The main process of a sweep
never imports torch, so ``plan`` (without) and ``expand`` (with) are two files.
"""
