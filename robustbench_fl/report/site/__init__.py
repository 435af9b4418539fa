"""Pages of the documentation's site that are made from claims: leaderboards, rules, attacks."""
