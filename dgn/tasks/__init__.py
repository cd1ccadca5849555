"""What the entry points do with a config: Hydra's side of the house. The rest of dgn is a library without it."""
