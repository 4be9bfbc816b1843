"""Engines that produce rollouts: from the policy, from annotations, or from given texts."""
