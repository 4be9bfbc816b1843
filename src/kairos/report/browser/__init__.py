"""The rollout browser of a page: which rollouts it holds, as data, and its scripts."""
