"""The chip in Amaranth: the synthesizable core, its interfaces, the macro stub and the cells."""
