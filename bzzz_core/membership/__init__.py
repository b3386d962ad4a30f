"""Who is there: beats in, a roster out."""
