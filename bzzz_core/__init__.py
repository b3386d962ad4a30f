"""BZZZ without a screen: everything that a node, a deployment or a test needs."""

__version__ = "0.1.0"
