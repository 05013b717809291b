"""Which chunks a call asks for."""

from collections.abc import Sequence
from dataclasses import dataclass

from store.chunk_pages import ChunkPage


@dataclass(frozen=True)
class Asked:
    """Chunks at positions of a page."""

    page: ChunkPage
    positions: Sequence[int]

    def numbers(self) -> list[int]:
        """The numbers of the chunks."""
        return [self.page.numbers[position] for position in self.positions]

    def position(self, number: int) -> int:
        """Where the chunk of that number is."""
        return self.page.numbers.index(number)
