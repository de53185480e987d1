// Clock-gating cell: passes the clock's high phase in cycles in which enable was high when it rose.
// Latch-based, for simulation and as a fall-back for libraries that have no such cell.
module heliobit_clock_gate (
    input  wire clk,
    input  wire enable,
    output wire gated_clk
);
  reg enable_latched;

  initial enable_latched = 1'b0;

  always_latch if (!clk) enable_latched = enable;

  assign gated_clk = clk & enable_latched;
endmodule
