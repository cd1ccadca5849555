from hypothesis import settings

# The same examples in every run: what fails, fails again for whoever looks (--hypothesis-profile=default: new ones).
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")
