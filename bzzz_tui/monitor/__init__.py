"""What the monitor's views stand on, without a screen: session, registry of views, tables."""
