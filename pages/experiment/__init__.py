"""The Experiment page, for operators: groups, costs, trials and invitations."""
