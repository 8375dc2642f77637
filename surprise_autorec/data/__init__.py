"""Ratings: known data sets, files of your own, synthetic ones. Users import them from `surprise_autorec.datasets`."""
