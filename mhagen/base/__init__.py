"""What every folder may use: errors, source places, number formats, settings and digests."""
