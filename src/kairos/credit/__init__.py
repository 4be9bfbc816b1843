"""Credit assignment: rewards, shapes, injections, advantages and gates of groups of rollouts."""
