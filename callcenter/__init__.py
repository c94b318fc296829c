"""The contact center: from a carrier's packets to a worker's slot and back."""
