"""Graph and schedule to the source of a module."""
