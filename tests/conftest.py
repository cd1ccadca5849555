from hypothesis import settings

# The same examples in every run: what fails, fails again for whoever looks (--hypothesis-profile=default: new ones).
# No deadline: a busy machine is slow, and that is no fault.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
