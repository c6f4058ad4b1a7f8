import os
import pwd

import pytest

from stack.daemon import privileges
from stack.errors import ConfigError


@pytest.fixture
def as_root(monkeypatch):
    monkeypatch.setattr(privileges, "is_root", lambda: True)


@pytest.mark.parametrize(
    ("name", "environ", "expected"),
    [
        ("", {}, "nobody"),
        ("", {"SUDO_UID": "1234", "SUDO_GID": "1235"}, (1234, 1235)),
        ("", {"SUDO_UID": "0", "SUDO_GID": "0"}, "nobody"),
        ("", {"SUDO_UID": "1234"}, "nobody"),
        ("", {"SUDO_UID": "-1", "SUDO_GID": "x"}, "nobody"),
        ("daemon", {"SUDO_UID": "1234", "SUDO_GID": "1235"}, "daemon"),
    ],
)
def test_whom_root_becomes(as_root, name, environ, expected):
    if isinstance(expected, str):
        entry = pwd.getpwnam(expected)
        expected = entry.pw_uid, entry.pw_gid
    user = privileges.target(name, environ)
    assert (user.uid, user.gid) == expected


@pytest.mark.parametrize(
    ("name", "says"), [("no-such-user", "does not exist"), ("root", "not allowed"), ("0", "not allowed")]
)
def test_users_that_will_not_do(as_root, name, says):
    with pytest.raises(ConfigError, match=says):
        privileges.target(name, {})


def test_without_root_we_stay_who_we_are(monkeypatch):
    monkeypatch.setattr(privileges, "is_root", lambda: False)
    assert privileges.target("daemon", {"SUDO_UID": "1234", "SUDO_GID": "1"}) == privileges.User(
        os.geteuid(), os.getegid()
    )
