"""Taking over a running service's topics and consumer group, and giving them back."""
