"""Who is who: node keys, the two certificate authorities, and a node's own secrets directory."""
