"""From a video file to frames: decode in a worker process, resize to a pixel budget, keep in a clip store."""
