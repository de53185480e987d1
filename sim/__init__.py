"""Simulation: the Verilated chip, cocotb benches, experiments."""
