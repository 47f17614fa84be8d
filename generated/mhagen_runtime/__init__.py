"""What a built kernel needs at run time. A copy, with parts of base, travels beside generated modules."""
