"""Studies of algorithms: measured on folds, compared, drawn."""
