"""What recommends sizes, one file for each rule; made by name with :func:`metalore.autoscale.make_recommender`."""
