"""What is true of a host before anything is changed: one script, one strict parser."""
