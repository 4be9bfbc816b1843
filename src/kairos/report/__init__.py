"""What a run left behind, made readable: pictures, tables, the HTML page, and the versions it ran with."""
