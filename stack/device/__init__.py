"""Layer 3: network devices.  The only importer of the cffi module `_io`."""
