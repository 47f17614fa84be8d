"""How a kernel is blocked and run, decided before it is written."""
