"""What a user types: the options that are meant by a misspelt one, and the values that an option takes."""
