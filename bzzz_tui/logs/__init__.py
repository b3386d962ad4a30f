"""Lines of many nodes' logs as one: merged, bounded, filtered, searched, counted. No Textual."""
