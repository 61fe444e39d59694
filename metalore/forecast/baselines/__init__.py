"""What everything else has to beat. Made by name in :mod:`metalore.forecast.registry`."""
