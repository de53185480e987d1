"""Training scripts, run as modules. They alone need PyTorch."""
