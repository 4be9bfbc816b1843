"""From a video file to frames: decode under guard, resize to a pixel budget, keep in a clip store."""
