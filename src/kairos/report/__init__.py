"""Reports on finished and running runs: HTML pages, pictures, tables, and rollouts on a terminal."""
