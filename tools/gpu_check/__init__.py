"""Checks and measurements on one GPU: ``make gpu-check``."""
