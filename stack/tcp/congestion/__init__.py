"""Congestion control algorithms, one file each, behind `base.Controller`."""
