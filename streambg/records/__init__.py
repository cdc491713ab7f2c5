"""What streambg writes and reads, as bytes and as values; everything here is pure."""
