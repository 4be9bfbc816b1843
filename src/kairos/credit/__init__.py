"""From a group of rollouts to numbers: rewards, shapes, injections, advantages and gates."""
