"""A real local cluster on loopback in one command: the agents and brokers that hosts run."""
