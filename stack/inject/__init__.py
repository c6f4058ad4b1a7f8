"""The folder that `tapstack run` puts on PYTHONPATH: its `sitecustomize` is what each interpreter imports first."""
