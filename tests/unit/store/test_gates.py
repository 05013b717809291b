"""Which slots of a gate may be taken, however many look at it at once and whatever the limit was before."""

import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from store.gates import open_slots

STEPS = st.lists(st.tuples(st.sampled_from(["look", "take", "leave"]), st.integers(0, 9)), max_size=60)


def test_every_free_slot_is_open_when_nobody_is_beyond_the_limit() -> None:
    assert open_slots({1, 3}, 5) == [0, 2, 4]
    assert open_slots({0, 1}, 2) == []


def test_who_is_beyond_the_limit_is_inside_too() -> None:
    assert open_slots({7}, 1) == []
    assert open_slots({7}, 3) == [0, 1]
    assert open_slots({1, 7, 9}, 3) == []
    assert open_slots({0, 1, 2}, 1) == []


@settings(max_examples=500, deadline=None)
@given(st.sets(st.integers(0, 9)), st.integers(1, 6), STEPS)
def test_nobody_comes_in_above_the_limit_whatever_others_saw_and_did(
    held: set[int], limit: int, steps: list[tuple[str, int]]
) -> None:
    """Those who look keep what they saw; they take a slot later, if it is free then."""
    seen: list[list[int]] = []
    for step, choice in steps:
        if step == "look":
            seen.append(open_slots(held, limit))
        elif step == "leave" and held:
            held.remove(sorted(held)[choice % len(held)])
        elif step == "take" and seen:
            wanted = seen.pop(choice % len(seen))
            slot = wanted[choice % len(wanted)] if wanted else None
            if slot is not None and slot not in held:
                held.add(slot)
                assert len(held) <= limit


@given(st.sets(st.integers(0, 9)), st.integers(1, 6))
def test_as_many_are_let_in_as_there_is_room_for(held: set[int], limit: int) -> None:
    assert len(open_slots(held, limit)) == max(0, limit - len(held))


def test_the_tables_library_is_not_imported_before_it_is_used() -> None:
    program = (
        "import sys\n"
        "from kernel.secrets import Secret\n"
        "from store.gates import Gates\n"
        "with Gates(Secret('')).enter('erp', 'sandbox', None) as slot:\n"
        "    slot.keep()\n"
        "print('azure' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
