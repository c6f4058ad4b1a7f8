"""`@rfc("9293", "3.5", "MUST-10")`: says which requirement a test shows to hold.

`tools/rfc_coverage.py` reads these decorators from the source and joins them with the citations in
`stack/` and `native/` and with `docs/requirements.toml`.
"""

import pytest


def rfc(number: str, section: str, requirement_id: str = "") -> pytest.MarkDecorator:
    """Mark a test as proof of RFC `number` §`section`, and of one requirement of docs/requirements.toml if given."""
    return pytest.mark.rfc(number, section, requirement_id)
