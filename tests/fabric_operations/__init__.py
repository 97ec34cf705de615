"""Operating a network: pure changes everywhere, each operation on a real network where the programs are."""
