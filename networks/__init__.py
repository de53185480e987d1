"""What runs on the chip: networks, their mapping to program images, executors and the host driver."""
