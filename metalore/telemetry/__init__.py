"""Time series per zone: recorded from a world or read from real data, and the real places they belong to."""
