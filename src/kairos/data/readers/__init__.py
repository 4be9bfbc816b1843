"""One file per annotation format, on shared checks of fields and files."""
