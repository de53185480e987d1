"""The physics and the golden models: what macros do and chips must answer. Knows no HDL."""
