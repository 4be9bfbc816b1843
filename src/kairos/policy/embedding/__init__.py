"""Embeds frames and questions into one space with a frozen CLIP or SigLIP: what frame agents and samplers read."""
