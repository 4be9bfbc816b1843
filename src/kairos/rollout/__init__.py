"""Engines that write rollouts: the policy itself, the annotation, or given texts."""
