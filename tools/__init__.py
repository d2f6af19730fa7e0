"""How the shipped files were made: commands that `make` runs, not part of the package (see README.md here)."""
