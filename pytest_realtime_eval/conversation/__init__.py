"""Playing one simulation: the loop, the simulated user, the tool mocks."""
