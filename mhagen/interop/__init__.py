"""Other software that mhagen meets: every package here is optional."""
