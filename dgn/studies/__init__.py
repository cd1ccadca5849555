"""The experiments of the papers: a file each, with its claim, what it measures, and the rule of its verdict."""
