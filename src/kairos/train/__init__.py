"""The training loop: the only room that imports Lightning."""
