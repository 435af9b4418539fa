"""What every room stands on: errors, random streams, a cell and its record, files, where numbers come from.

May import nothing of this package, and never torch.
"""
