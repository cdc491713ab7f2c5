"""What every long-running process of a pipeline has in common."""
