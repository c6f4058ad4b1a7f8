import json
import logging

import pytest

from stack.daemon import log


@pytest.fixture
def written(capsys):
    """What came to standard error; the loggers are put back as they were."""
    kept = [
        (logger, logger.handlers, logger.level, logger.propagate)
        for logger in map(logging.getLogger, ("stack", "asyncio"))
    ]
    yield lambda: capsys.readouterr().err
    for logger, handlers, level, propagate in kept:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def test_json_is_an_object_per_line_with_the_fields_of_the_event(written):
    log.set_up("json", "info")
    logging.getLogger("stack.daemon").info("up", extra={"fields": {"device": "tap0", "peer": ("1.2.3.4", 5)}})
    logging.getLogger("stack.daemon").debug("not shown")
    event = json.loads(written())
    assert (event["event"], event["level"], event["device"], event["peer"]) == ("up", "info", "tap0", ["1.2.3.4", 5])
    assert event["time"].endswith("Z")


def test_a_line_of_text_with_a_newline_inside_stays_one_json_line(written):
    log.set_up("json", "info")
    logging.getLogger("stack").warning("a\nb", extra={"fields": {"c": "d\ne"}})
    assert written().count("\n") == 1


def test_text_shows_fields_and_traceback(written):
    log.set_up("text", "error")
    logging.getLogger("stack.daemon").error(
        "failed", exc_info=ValueError("broken"), extra={"fields": {"peer": "1.2.3.4"}}
    )
    first, *rest = written().splitlines()
    assert first.endswith("error failed peer=1.2.3.4 exception=ValueError('broken')")
    assert rest == ["ValueError: broken"]


def test_text_cannot_be_forged_by_what_a_peer_sends(written):
    log.set_up("text", "info")
    logging.getLogger("stack").info("http", extra={"fields": {"request": "GET /\n2026 info forged"}})
    assert written().count("\n") == 1
