"""The agent's HTTP API: what an operator's programs may ask of a node."""
