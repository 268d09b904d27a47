"""PPO for language models of every family: sample (`rollout`), credit (`credit`), improve (`loss`, `trainer`)."""
