"""The emergency stop: one decision for all nodes, and each node's right to stop by itself."""
