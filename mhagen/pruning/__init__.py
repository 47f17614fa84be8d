"""Which heads of a layer matter, and the smaller layer without the others."""
