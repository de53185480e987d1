// Memristor-free macro: a latch a bit cell, behind the pins of the full-custom macro.
//
// It takes heliobit_macro's place, name and pins, so that the chip can be made in a plain digital
// process. Synthesizable; the clock gates are instances of heliobit_clock_gate.
//
//   sense     at the rising edge q takes XNOR(bit, x) of the row, and holds it until the next sense
//   SET       on side s writes the bit s: LRS on BLb (side 1) is a 1
//   RESET     on side s writes the bit not s: HRS on BL (side 0) is a 1
//   FORM      does nothing: there is nothing to form
//
// A pulse writes once, however long: row, column, side and operation are sampled at its first rising
// edge, and the latch is open in the high phase after the next. Bits are lost without power and
// unknown after it. Rails and bypass are not looked at.

module heliobit_macro #(
    parameter integer ROWS = 64,
    parameter integer COLUMNS = 64,
    parameter integer NUMBER = 0,
    parameter integer ROW_BITS = ROWS > 1 ? $clog2(ROWS) : 1,
    parameter integer COLUMN_BITS = COLUMNS > 1 ? $clog2(COLUMNS) : 1
) (
    input  wire                   clk,
    input  wire [   ROW_BITS-1:0] row,
    input  wire                   x,
    input  wire                   sense,
    output reg  [    COLUMNS-1:0] q,
    input  wire [            1:0] operation,
    input  wire [COLUMN_BITS-1:0] column,
    input  wire                   side,
    input  wire                   pulse,
    /* verilator lint_off UNUSEDSIGNAL */
`ifdef HELIOBIT_BYPASS
    input  wire                   bypass,
`endif
    input  wire [            1:0] rail_column,
    input  wire [            1:0] rail_row
    /* verilator lint_on UNUSEDSIGNAL */
);
  // A SET (2) or RESET (3) begins. What it writes is sampled then, and stands still while a write
  // clock is high: pulse must fall before the next one begins.
  reg was_pulse, write, write_bit;
  reg [ROW_BITS-1:0] write_row;
  reg [COLUMN_BITS-1:0] write_column;
  wire start = pulse & ~was_pulse & operation[1];

  always @(posedge clk) begin
    was_pulse <= pulse;
    write <= start;
    if (start) begin
      write_row <= row;
      write_column <= column;
      write_bit <= side ^ operation[0];
    end
  end

  // Columns change in the low clock phase alone, rows are written in the high phase alone.
  reg [COLUMNS-1:0] column_open;

  genvar r, c;
  generate
    for (c = 0; c < COLUMNS; c = c + 1) begin : columns
      always_latch if (!clk) column_open[c] = {{32 - COLUMN_BITS{1'b0}}, write_column} == c;
    end
    for (r = 0; r < ROWS; r = r + 1) begin : rows
      wire [COLUMNS-1:0] shown, read;
      heliobit_latch_row #(
          .COLUMNS(COLUMNS)
      ) latches (
          .clk(clk),
          .write(write & ({{32 - ROW_BITS{1'b0}}, write_row} == r)),
          .column_open(column_open),
          .write_bit(write_bit),
          .show({{32 - ROW_BITS{1'b0}}, row} == r),
          .shown(shown)
      );
      if (r == 0) begin : first
        assign read = shown;
      end else begin : further
        assign read = rows[r-1].read | shown;
      end
    end
  endgenerate

  wire sense_clk;
  heliobit_clock_gate sense_gate (
      .clk(clk),
      .enable(sense),
      .gated_clk(sense_clk)
  );

  always @(posedge sense_clk) q <= ~(rows[ROWS-1].read ^ {COLUMNS{x}});
endmodule

// One row of latches: written where a column is open, in the high clock phase after `write`.
module heliobit_latch_row #(
    parameter integer COLUMNS = 64
) (
    input  wire               clk,
    input  wire               write,
    input  wire [COLUMNS-1:0] column_open,
    input  wire               write_bit,
    input  wire               show,
    output wire [COLUMNS-1:0] shown
);
  /* verilator no_inline_module */
  wire write_clk;
  heliobit_clock_gate write_gate (
      .clk(clk),
      .enable(write),
      .gated_clk(write_clk)
  );

  // The data of a column stay 0 elsewhere: one bit does not drive all latches.
  reg [COLUMNS-1:0] held;
  genvar c;
  generate
    for (c = 0; c < COLUMNS; c = c + 1) begin : cells
      always_latch if (write_clk) if (column_open[c]) held[c] = write_bit & column_open[c];
    end
  endgenerate

  // AND before the OR of all rows: what is not read toggles nothing.
  assign shown = held & {COLUMNS{show}};
endmodule
