"""Electrical simulation of the XPCSA and the level shifter: ngspice with SkyWater's models."""
