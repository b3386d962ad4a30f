"""What an operator should know without asking: rules over the metrics, judged on each node."""
