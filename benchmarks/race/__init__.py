"""What ``benchmarks/race.py`` runs: one script a peer, each in an environment of its own."""
