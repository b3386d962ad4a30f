"""Who leads: signed ballots, a fenced `_term` record, and nothing decided by a read."""
