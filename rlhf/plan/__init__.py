"""What a command line would build, need in memory, take and cost: worked out before anything is started."""
