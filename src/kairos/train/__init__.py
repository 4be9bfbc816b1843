"""The training loop on Lightning, which no other room imports: module, data module, callbacks, devices."""
