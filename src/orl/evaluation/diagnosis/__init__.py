"""What held-out data says of a fitted model: errors, calibration, admissibility, distance from the training data."""
