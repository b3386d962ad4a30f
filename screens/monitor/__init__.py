"""The live view of a cluster, one view a file."""
