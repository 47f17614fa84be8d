"""How fast a kernel is, and how fast this machine can be."""
