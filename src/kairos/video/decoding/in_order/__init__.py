"""Which files are decoded in order because jumping into them gives wrong frames, and the readers that do so."""
