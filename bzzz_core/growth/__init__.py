"""How many brokers vote and where the streams are: the steward, and the pure rule it follows."""
