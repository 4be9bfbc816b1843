"""Where a command begins, before anything heavy is imported: which Python, which command, and its help."""
