"""Studies of algorithms: measuring them on folds, comparing them, plotting the results."""
