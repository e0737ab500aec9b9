"""What every test gets."""

from hypothesis import HealthCheck, settings

# How fast a machine is, and how busy, is no property of the code.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")
