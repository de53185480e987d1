"""Boards, the emulator top, the serial transport. Nothing is here yet.

May import `behavioral_models`, `hdl` and `networks`, and `sim` to run a board top.
"""
