"""cocotb benches of core, chip and macro: a driver, a monitor and a checker each."""
