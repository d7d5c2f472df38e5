"""What changes in a shop, told as it happens to those who look at it; no order waits or fails for it."""
