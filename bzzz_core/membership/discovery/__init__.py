"""Where clusters can be reached. It yields addresses to try, never trust (see `seed`)."""
