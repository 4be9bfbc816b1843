"""The HTML page of one run: tables, curves, example answers."""
