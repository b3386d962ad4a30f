"""Where the monitor's data comes from: one module a way of asking, one for choosing whom to ask."""
