"""The commands dgn-train, dgn-visualize and dgn-compare."""
