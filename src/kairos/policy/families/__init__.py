"""What differs between families of video language models: one file each, named as transformers names its model_type."""
