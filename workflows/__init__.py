"""The definition language: what a workflow says, checks, means and plans. No clock, network or files."""
