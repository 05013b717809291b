"""Letters to send, and any letter that content could make."""

from dataclasses import replace
from uuid import UUID

from hypothesis import strategies as st

from adapters.comms.letter import Letter

LINK = "https://sluice.example.com/approvals/01900000-0000-7000-8000-000000000001?t=" + "A" * 70
LETTER = Letter(
    id=UUID("01900000-0000-7000-8000-000000000002"),
    subject="Approval needed: Weekly labour costs, 51,234.50, decide by Mon 23 Nov 2026, 20:00 UTC",
    headline="Weekly labour costs",
    intro="Olive asks for your approval before anything is written.",
    link=LINK,
    action="Review and decide",
    reason="Week over 50,000",
    details=(("Amount", "51,234.50"), ("Exceptions", "None")),
    sections=(("What the rule saw", (("Total", "51,234.50"),)),),
    note="Opening the link decides nothing.",
)
NASTY = (
    "\r\nBcc: eve@example.com\r\n\r\n",
    "<script>alert(1)</script><img src=https://evil.example/x onerror=x>",
    "[click](https://evil.example) <https://evil.example|here> <!channel> @everyone &amp;",
    '"onmouseover="x" \'></a><a href="https://evil.example">',
    "{{ 7 * 7 }} {% for x in y %} ${{ inputs }}",
    "\u202egnp.exe\u2028\u0000\x1b[31m\ud800",
    ".\r\n.\r\nQUIT\r\n",
    "Ünïcödé 漢字 🏗️",
)


def texts(longest: int = 5000) -> st.SearchStrategy[str]:
    """Any text, more often the nasty ones, sometimes very long."""
    plain = st.text(max_size=80)
    nasty = st.sampled_from(NASTY)
    long = st.builds(lambda text, times: (text * times)[:longest], nasty | plain, st.integers(1, 2000))
    return plain | nasty | st.tuples(plain, nasty).map("".join) | long


def letters() -> st.SearchStrategy[Letter]:
    """Any letter; the link is always ours."""
    lines = st.lists(st.tuples(texts(), texts()), max_size=60).map(tuple)
    return st.builds(
        lambda subject, headline, intro, action, reason, details, more, note: replace(
            LETTER, subject=subject, headline=headline, intro=intro, action=action, reason=reason,
            details=details, sections=(("Changes", more),), note=note,
        ),
        texts(), texts(), texts(), texts(), texts(), lines, lines, texts(),
    )  # fmt: skip
