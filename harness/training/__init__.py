"""Training. In scope: a recipe to a checkpoint. Out of scope: exporting and measuring."""
