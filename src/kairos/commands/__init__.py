"""What `kairos <command>` and `scripts/<command>.py` do: a module for each, with its options in conf/<command>.yaml."""
