"""Work on data sets: annotate, filter, reward, measure. An optional wing: the service imports none of it."""
