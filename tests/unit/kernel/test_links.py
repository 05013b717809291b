"""Links: a token is read as what it was made for, by any key that is known, and nothing else is read."""

import base64
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from kernel.links import Links
from kernel.secrets import Secret

APPROVAL = UUID(int=1)
NOTIFICATION = UUID(int=2)


def key(number: int) -> Secret:
    """A key of 32 bytes."""
    return Secret(base64.b64encode(bytes([number]) * 32).decode())


def links(*numbers: int) -> Links:
    """Links with these keys."""
    return Links("https://sluice.example.com/", [key(number) for number in numbers])


@given(st.uuids(), st.uuids())
def test_a_token_is_read_as_what_it_was_made_for(approval: UUID, notification: UUID) -> None:
    ours = links(1)
    token = ours.sign(approval, notification)
    assert len(token) == 70
    assert ours.read_link(token, approval) == notification
    assert ours.read_link(token, UUID(int=approval.int ^ 1)) is None


@given(st.integers(min_value=0, max_value=52 * 8 - 1))
def test_a_token_with_any_other_bit_is_refused(bit: int) -> None:
    ours = links(1, 2)
    content = bytearray(base64.urlsafe_b64decode(ours.sign(APPROVAL, NOTIFICATION) + "=="))
    content[bit // 8] ^= 1 << bit % 8
    changed = base64.urlsafe_b64encode(content).rstrip(b"=").decode()
    assert ours.read_link(changed, APPROVAL) is None


@given(st.text(max_size=100))
def test_what_is_no_token_is_refused(text: str) -> None:
    assert links(1).read_link(text, APPROVAL) is None


def test_one_token_has_one_spelling() -> None:
    token = links(1).sign(APPROVAL, NOTIFICATION)
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spellings = [token[:-1] + end for end in last] + [f"{token}=", f"{token}==", f" {token}", f"{token}\n"]
    assert [text for text in spellings if links(1).read_link(text, APPROVAL)] == [token]
    assert links(1).read_link(token.replace("-", "+").replace("_", "/"), APPROVAL) in (None, NOTIFICATION)


def test_keys_are_changed_by_adding_the_new_one_first() -> None:
    old, both, new = links(1), links(2, 1), links(2)
    before, after = old.sign(APPROVAL, NOTIFICATION), both.sign(APPROVAL, NOTIFICATION)
    assert both.read_link(before, APPROVAL) == both.read_link(after, APPROVAL) == NOTIFICATION
    assert new.read_link(after, APPROVAL) == NOTIFICATION
    assert new.read_link(before, APPROVAL) is None


def test_an_address_names_the_page_and_no_person() -> None:
    address = links(1).approval(APPROVAL, NOTIFICATION)
    assert address.startswith(f"https://sluice.example.com/approvals/{APPROVAL}?t=")
    assert Links("https://sluice.example.com").approval(APPROVAL, NOTIFICATION).endswith(f"/{APPROVAL}")
    assert "Secret" not in repr(links(1))
