// Behavioural model of the full-custom memristor macro: 2T2R bit cells, XPCSAs, level shifters.
//
// It checks how it is driven. A breach of the protocol ends the simulation with a message ($fatal),
// unless +macro_continue is given; either way `protocol_error` stays set, and a sense that should
// not have been gives X.
//
// With HELIOBIT_BYPASS defined it has the pin `bypass`: while high, the memristor at row, column and
// side is connected to two analog measuring pads, which are no part of this model.
//
// +macro_image=PREFIX loads PREFIX_<NUMBER>.hex at the start: 2 * ROWS words, the result of sensing
// row r with x = 0 at address r and with x = 1 at address 2**ROW_BITS + r ({x, row}), column 0 in bit 0.

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
`ifdef HELIOBIT_BYPASS
    input  wire                   bypass,
`endif
    input  wire [            1:0] rail_column,
    input  wire [            1:0] rail_row
);
`ifndef HELIOBIT_BYPASS
  wire bypass = 1'b0;
`endif
  localparam [1:0] FORM = 2'd1, SET = 2'd2, RESET = 2'd3;  // operation; 0 is READ
  localparam [1:0] RAIL_OFF = 2'd0, RAIL_VDD = 2'd1, RAIL_VM = 2'd2, RAIL_VH = 2'd3;

  // What a sense of {x, row} gives, and the memristors of each row by side: 1 is formed, 1 is LRS.
  reg [COLUMNS-1:0] bits[0:2**(ROW_BITS+1)-1];
  reg [COLUMNS-1:0] formed_bl[0:ROWS-1];
  reg [COLUMNS-1:0] formed_blb[0:ROWS-1];
  reg [COLUMNS-1:0] low_bl[0:ROWS-1];
  reg [COLUMNS-1:0] low_blb[0:ROWS-1];

  // Sticky; read from outside by its hierarchical name.
  /* verilator lint_off UNUSEDSIGNAL */
  reg protocol_error /* verilator public_flat_rd */;
  /* verilator lint_on UNUSEDSIGNAL */

  // The previous cycle.
  reg was_pulse, was_sense, was_bypass;
  reg [ROW_BITS-1:0] was_row;
  reg [COLUMN_BITS-1:0] was_column;
  reg was_side;
  reg [1:0] was_operation, was_rail_column, was_rail_row;

  task automatic breach(input [8*64-1:0] message);
    begin
      protocol_error <= 1'b1;
      if ($test$plusargs("macro_continue"))
        $display("Macro %0d, %0t: protocol breach: %0s", NUMBER, $time, message);
      else $fatal(1, "Macro %0d, %0t: protocol breach: %0s", NUMBER, $time, message);
    end
  endtask

  // Which rails an operation needs; {columns, rows}.
  function automatic [3:0] rails_of(input [1:0] wanted);
    case (wanted)
      FORM: rails_of = {RAIL_VH, RAIL_VM};
      SET: rails_of = {RAIL_VM, RAIL_VM};
      RESET: rails_of = {RAIL_VM, RAIL_VH};
      default: rails_of = {RAIL_VDD, RAIL_VDD};
    endcase
  endfunction

  // The effect of the pulse that has just ended, on one memristor and its bit cell. A SET or RESET of a
  // memristor that was never formed does nothing.
  task automatic finish_pulse;
    reg formed, low_left, low_right;
    begin
      formed = was_side ? formed_blb[was_row][was_column] : formed_bl[was_row][was_column];
      if (was_operation == FORM) begin
        if (was_side) formed_blb[was_row][was_column] = 1'b1;
        else formed_bl[was_row][was_column] = 1'b1;
      end
      if (was_operation == FORM || (formed && was_operation == SET)) begin
        if (was_side) low_blb[was_row][was_column] = 1'b1;
        else low_bl[was_row][was_column] = 1'b1;
      end
      if (formed && was_operation == RESET) begin
        if (was_side) low_blb[was_row][was_column] = 1'b0;
        else low_bl[was_row][was_column] = 1'b0;
      end
      low_left  = low_bl[was_row][was_column];
      low_right = low_blb[was_row][was_column];
      // HRS on BL and LRS on BLb is a 1. Two equal memristors do not decide.
      bits[{1'b1, was_row}][was_column] = low_left == low_right ? 1'bx : low_right;
      bits[{1'b0, was_row}][was_column] = low_left == low_right ? 1'bx : low_left;
    end
  endtask

  integer i, descriptor;
  reg [8*1024-1:0] prefix, file;
  initial begin
    protocol_error = 1'b0;
    was_pulse = 1'b0;
    was_sense = 1'b0;
    was_bypass = 1'b0;
    was_row = {ROW_BITS{1'b0}};
    was_column = {COLUMN_BITS{1'b0}};
    was_side = 1'b0;
    was_operation = 2'd0;
    was_rail_column = 2'd0;
    was_rail_row = 2'd0;
    for (i = 0; i < 2 ** (ROW_BITS + 1); i = i + 1) bits[i] = {COLUMNS{1'bx}};
    for (i = 0; i < ROWS; i = i + 1) begin
      formed_bl[i]  = {COLUMNS{1'b0}};
      formed_blb[i] = {COLUMNS{1'b0}};
      low_bl[i]     = {COLUMNS{1'b0}};
      low_blb[i]    = {COLUMNS{1'b0}};
    end
    if ($value$plusargs("macro_image=%s", prefix)) begin
      $sformat(file, "%0s_%0d.hex", prefix, NUMBER);
      descriptor = $fopen(file, "r");
      if (descriptor == 0) $fatal(1, "Macro %0d: cannot read %0s", NUMBER, file);
      $fclose(descriptor);
      $readmemh(file, bits);
      for (i = 0; i < ROWS; i = i + 1) begin
        formed_bl[i]  = {COLUMNS{1'b1}};
        formed_blb[i] = {COLUMNS{1'b1}};
        low_blb[i]    = bits[2**ROW_BITS+i];
        low_bl[i]     = ~bits[2**ROW_BITS+i];
      end
    end
  end

  always @(posedge clk) begin
    if ((^{sense, pulse}) === 1'bx) breach("sense or pulse is unknown");
    if ((^bypass) === 1'bx) breach("bypass is unknown");
    if (sense === 1'b1) begin
      if ({{32 - ROW_BITS{1'b0}}, row} >= ROWS) breach("a row that does not exist is sensed");
      if ((^{row, x}) === 1'bx) breach("row or x is unknown during a sense");
      if (pulse !== 1'b0) breach("a sense during a pulse");
      if ({rail_column, rail_row} !== {RAIL_VDD, RAIL_VDD})
        breach("a sense while the rails are not both VDD");
      if ({pulse, bypass} !== 2'b00 || {rail_column, rail_row} !== {RAIL_VDD, RAIL_VDD})
        q <= {COLUMNS{1'bx}};
      else q <= bits[{x, row}];
    end
    if (pulse === 1'b1) begin
      if (operation == 2'd0) breach("a pulse without an operation");
      if ({rail_column, rail_row} !== rails_of(operation))
        breach("a pulse while the rails are not those of its operation");
      if (was_sense) breach("a pulse while a sense is in progress");
      if ({{32 - ROW_BITS{1'b0}}, row} >= ROWS || {{32 - COLUMN_BITS{1'b0}}, column} >= COLUMNS)
        breach("a pulse on a row or column that does not exist");
    end
    if (was_pulse && pulse) begin
      if (row !== was_row) breach("the row moved during a pulse");
      if (column !== was_column || side !== was_side) breach("the column moved during a pulse");
      if (operation !== was_operation) breach("the operation changed during a pulse");
    end
    if (bypass === 1'b1) begin
      if (sense !== 1'b0) breach("a sense during a bypass");
      if (pulse !== 1'b0) breach("a pulse during a bypass");
      if ({rail_column, rail_row} !== {RAIL_VDD, RAIL_VDD})
        breach("a bypass while the rails are not both VDD");
      if (was_sense) breach("a bypass while a sense is in progress");
      if ((^{row, column, side}) === 1'bx)
        breach("row, column or side is unknown during a bypass");
      if ({{32 - ROW_BITS{1'b0}}, row} >= ROWS || {{32 - COLUMN_BITS{1'b0}}, column} >= COLUMNS)
        breach("a bypass of a row or column that does not exist");
      if (was_bypass && row !== was_row) breach("the row moved during a bypass");
      if (was_bypass && (column !== was_column || side !== was_side))
        breach("the column moved during a bypass");
    end
    // Off is where a reset takes the rails, whenever it comes.
    if (was_sense && {rail_column, rail_row} !== {was_rail_column, was_rail_row} &&
        {rail_column, rail_row} !== {RAIL_OFF, RAIL_OFF})
      breach("a rail was switched while a sense was in progress");
    if (was_pulse && {{32 - ROW_BITS{1'b0}}, was_row} < ROWS &&
        {{32 - COLUMN_BITS{1'b0}}, was_column} < COLUMNS &&
        (!pulse || row !== was_row || column !== was_column || side !== was_side))
      finish_pulse;
    was_pulse <= pulse;
    was_sense <= sense;
    was_bypass <= bypass;
    was_row <= row;
    was_column <= column;
    was_side <= side;
    was_operation <= operation;
    was_rail_column <= rail_column;
    was_rail_row <= rail_row;
  end
endmodule
