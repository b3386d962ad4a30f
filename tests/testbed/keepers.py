"""Where `operators` was; kept while branches still name it."""

from tests.testbed.operators import ROOT, Operator, changes, failures, planned, until

__all__ = ["ROOT", "Operator", "changes", "failures", "planned", "until"]
