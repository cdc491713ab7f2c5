"""What waiting labels cost in Redis."""
