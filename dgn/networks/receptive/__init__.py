"""Receptive fields: what of a network's input each of its activations sees."""
