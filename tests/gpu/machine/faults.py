"""What the machine finds wrong."""


class Fault(Exception):
    """What a GPU would do wrong, or refuse, or never end."""
