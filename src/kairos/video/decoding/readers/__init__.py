"""The readers of the decoders: each opens one file or folder and reads its frames."""
