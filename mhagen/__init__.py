"""mhagen compiles the description of an attention layer into a readable Python module of kernels."""

__version__ = "0.1.0"
