"""What runs on the chip: networks, their mapping to images, executors, the host driver."""
