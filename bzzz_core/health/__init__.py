"""Whether this node is well: checks, each on its own, and what follows from them."""
