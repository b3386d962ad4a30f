"""Runs that outlive the terminal they were started from: an engine of its own, and its watchers."""
