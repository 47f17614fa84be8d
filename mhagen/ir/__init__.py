"""The graph of an attention layer: typed ops that can be printed, parsed, checked and run."""
