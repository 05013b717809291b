"""A queue that takes turns between the trees that its items belong to."""

from collections import OrderedDict, deque


class FairQueue[T]:
    """First in, first out within one root; round robin between roots.

    A tree of thousands of sub-orchestrations cannot keep a newcomer waiting for longer than one item each.
    """

    def __init__(self) -> None:
        self._roots: OrderedDict[str, deque[T]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(self, root: str, item: T) -> None:
        """Add an item at the end of its root's own queue."""
        queue = self._roots.get(root)
        if queue is None:
            queue = self._roots[root] = deque()
        queue.append(item)
        self._size += 1

    def pop(self) -> T:
        """The next item of the root whose turn it is."""
        root, queue = self._roots.popitem(last=False)
        item = queue.popleft()
        if queue:
            self._roots[root] = queue
        self._size -= 1
        return item
