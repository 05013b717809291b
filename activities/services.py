"""What activities work with; the composition root builds it once per process."""

from dataclasses import dataclass, field

from activities.adapter_pool import AdapterPool
from activities.asked import Asked
from activities.at_work import RunsAtWork
from activities.companions import Companions
from activities.contract import ChunksOutcome
from activities.notifying.postbox import Postbox
from kernel.clock import Clock
from kernel.people import SYSTEM, Directory, EmptyDirectory
from store.blobs import Blobs
from store.contexts import ContextStore
from store.database import Database
from store.definitions import Definitions
from store.envelope import Envelope
from store.gates import Gates
from workflows.sql import SqlEngine

ENGINE = SYSTEM.id
"""The actor of automatic changes."""


@dataclass(frozen=True)
class Services:
    """Everything an activity may touch. `write_seconds` is how long a write may go on in one activity;
    `max_recoveries` how often a segment may kill its worker before the run fails."""

    database: Database
    blobs: Blobs
    contexts: ContextStore
    envelope: Envelope
    engine: SqlEngine
    adapters: AdapterPool
    clock: Clock
    environment: str
    gates: Gates
    write_seconds: float = 300.0
    max_recoveries: int = 5
    definitions: Definitions = field(default_factory=Definitions)
    at_work: RunsAtWork = field(default_factory=RunsAtWork)
    companions: Companions[Asked, ChunksOutcome] = field(default_factory=Companions)
    directory: Directory = field(default_factory=EmptyDirectory)
    postbox: Postbox = field(default_factory=Postbox)
