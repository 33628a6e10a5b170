"""Making datasets: from a recipe to episodes, and from episodes to a dataset."""
