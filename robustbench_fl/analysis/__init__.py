"""From stored cells to one frame, and from the frame to leaderboards and matrices.

May import ``core`` alone, and never torch.
"""
