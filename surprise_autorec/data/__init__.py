"""Rating data: known sets, files, synthetic ratings. Users import them from `surprise_autorec.datasets`."""
