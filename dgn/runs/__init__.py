"""What every run has: its folder, its processes and threads, its loggers."""
