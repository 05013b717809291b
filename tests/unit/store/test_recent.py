"""What a process keeps of what it has just stored."""

from store.recent import Recent


def test_what_is_taken_is_given_once() -> None:
    recent = Recent()
    recent.put("a", b"one")
    recent.put("a", b"two")
    assert recent.take("a") == b"two"
    assert recent.take("a") is None


def test_the_oldest_make_room_and_what_is_too_large_is_not_kept() -> None:
    recent = Recent(most=10, largest=6)
    recent.put("a", b"x" * 4)
    recent.put("b", b"x" * 4)
    recent.put("c", b"x" * 4)
    assert recent.take("a") is None
    recent.put("b", b"x" * 7)  # what it replaces is not given in its stead
    assert recent.take("b") is None
    recent.put("d", b"x" * 6)
    assert (recent.take("c"), recent.take("d")) == (b"x" * 4, b"x" * 6)
