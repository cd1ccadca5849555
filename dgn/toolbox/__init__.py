"""The live toolbox: a local page that looks into a network, after the Deep Visualization Toolbox (Yosinski 2015)."""
