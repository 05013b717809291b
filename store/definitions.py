"""Definitions and plans of versions, read once: a version never changes."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from store.workflows import version_by_id
from workflows.model import Workflow
from workflows.planning import Plan

_REMEMBERED = 64


@dataclass(frozen=True)
class Definition:
    """A version's workflow and plan."""

    workflow: Workflow
    plan: Plan


class Definitions:
    """The versions that runs of this process used last. One instance serves many threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[UUID, Definition] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, connection: Connection, version_id: UUID) -> Definition:
        """The definition of a version."""
        with self._lock:
            known = self._known.get(version_id)
            if known is not None:
                self._known.move_to_end(version_id)
                return known
        version = version_by_id(connection, version_id)
        plan = Plan.from_dict(dict(version.plan))
        read = Definition(Workflow.model_validate(version.definition), plan)
        with self._lock:
            self._known[version_id] = read
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return read
