"""Netlists, timing, activity and energy reports, the macro's views. Nothing is here yet.

May import `behavioral_models`, `hdl` and `networks`, and `sim` to run a netlist.
"""
