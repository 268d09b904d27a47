"""What work costs: seconds, energy, money, arithmetic, memory."""
