"""The report page: leaderboard, matrix and every cell in one file that needs no network."""
