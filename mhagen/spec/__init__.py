"""The description of an attention layer: its model, how a file becomes one, and what can be wrong with it."""
