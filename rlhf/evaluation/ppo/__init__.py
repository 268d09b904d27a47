"""What PPO tells of each of its steps."""
