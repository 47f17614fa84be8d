"""Where models become kernels: one module a backend."""
