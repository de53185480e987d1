"""The physics and the golden models: what the macros do, and what the chip must answer. Knows no HDL."""
