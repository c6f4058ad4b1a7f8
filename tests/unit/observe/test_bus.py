import pytest

from stack.errors import NoBufferSpace
from stack.observe.bus import MAX_SUBSCRIBERS, Topic


class Source:
    """A topic that remembers how often it was switched."""

    def __init__(self):
        self.switched = []
        self.topic = Topic(lambda: self.switched.append("on"), lambda: self.switched.append("off"))

    def listen(self, *args, **kwargs):
        return self.topic.subscribe(lambda: None, *args, **kwargs)


def drained(subscription):
    found = []
    while (item := subscription.take()) is not None:
        found.append(item)
    return found


def test_the_first_listener_switches_the_source_on_and_the_last_off():
    source = Source()
    one, two = source.listen(), source.listen()
    assert source.switched == ["on"]
    one.close()
    one.close()
    assert source.switched == ["on"]
    two.close()
    source.listen()
    assert source.switched == ["on", "off", "on"]


def test_everybody_gets_what_they_accept():
    source = Source()
    every, even = source.listen(), source.listen(lambda item: item % 2 == 0)
    for number in range(1, 5):
        source.topic.publish(number, 1)
    assert (drained(every), drained(even)) == ([1, 2, 3, 4], [2, 4])


def test_a_slow_listener_loses_its_own_items_and_they_are_counted():
    source = Source()
    slow, quick = source.listen(max_items=3), source.listen()
    for number in range(10):
        source.topic.publish(number, 1)
    assert (drained(slow), slow.lost) == ([0, 1, 2], 7)
    assert (len(drained(quick)), quick.lost) == (10, 0)
    slow.close()
    assert source.topic.total_lost() == 7


def test_bytes_are_bounded_too():
    source = Source()
    listener = source.listen(max_bytes=100)
    for size in (60, 60, 40):
        source.topic.publish(size, size)
    assert (drained(listener), listener.lost, listener.size) == ([60, 40], 1, 0)


def test_the_newest_take_the_place_of_the_oldest_where_that_is_asked_for():
    source = Source()
    listener = source.listen(max_items=2, newest=True)
    for number in range(5):
        source.topic.publish(number, 1)
    assert (drained(listener), listener.lost) == ([3, 4], 3)


def test_it_is_told_once_that_the_queue_is_no_longer_empty():
    told = []
    topic = Topic(lambda: None, lambda: None)
    listener = topic.subscribe(lambda: told.append(len(listener)))
    topic.publish("a", 1)
    topic.publish("b", 1)
    assert told == [1]
    drained(listener)
    topic.publish("c", 1)
    assert told == [1, 1]


def test_listeners_are_bounded():
    source = Source()
    for _ in range(MAX_SUBSCRIBERS):
        source.listen()
    with pytest.raises(NoBufferSpace, match="watchers already"):
        source.listen()


def test_one_that_leaves_while_something_is_published_gets_nothing_more():
    topic = Topic(lambda: None, lambda: None)
    others = []
    topic.subscribe(lambda: [other.close() for other in others])
    others.append(topic.subscribe(lambda: None))
    topic.publish("a", 1)
    topic.publish("b", 1)
    assert (len(topic.subscriptions), others[0].size) == (1, 0)
