"""Installations, timed: ours as a whole, and its parts beside what other tools do."""
