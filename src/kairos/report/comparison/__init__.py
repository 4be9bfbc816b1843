"""The page that compares several runs, with the seeds of one configuration in one group."""
