"""What the connector settings say about each operation."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, Tag, model_validator

from adapters.contract import Idempotency
from adapters.datasource.rest.names import (
    MODEL,
    Columns,
    ColumnType,
    HeaderName,
    Identifier,
    ParameterName,
    Path,
    QueryName,
)
from adapters.datasource.rest.places import Place
from adapters.datasource.rest.wire import DecimalForm
from adapters.operation_kinds import BY_KIND

MAX_BATCH = 5_000


class LinkHeader(BaseModel):
    """The `Link` header of an answer names the next page (RFC 8288)."""

    model_config = MODEL
    style: Literal["link_header"]


class NextUrl(BaseModel):
    """The address of the next page is in the answer, at `next`."""

    model_config = MODEL
    style: Literal["next_url"]
    next: Place


class Cursor(BaseModel):
    """A token in the answer, at `next`, asks for the next page as the query parameter `parameter`."""

    model_config = MODEL
    style: Literal["cursor"]
    next: Place
    parameter: QueryName


class PageNumber(BaseModel):
    """Pages are counted from `first`. The last one is at `total_pages`, or the one before an empty page."""

    model_config = MODEL
    style: Literal["page_number"]
    parameter: QueryName = "page"
    first: int = Field(default=1, ge=0)
    total_pages: Place | None = None


class OffsetLimit(BaseModel):
    """Records are counted from `first`; `size` of them are asked for at a time.

    The end is where `total` says how many there are, or an empty page.
    """

    model_config = MODEL
    style: Literal["offset_limit"]
    offset: QueryName = "offset"
    limit: QueryName = "limit"
    size: int = Field(ge=1, le=10_000)
    first: int = Field(default=0, ge=0)
    total: Place | None = None


type Pages = Annotated[
    LinkHeader | NextUrl | Cursor | PageNumber | OffsetLimit,
    Field(discriminator="style"),
]


class Spec(BaseModel):
    """What every operation has: columns and where they are, and parameters in path and query.

    `fields` says where in a record a column is, by default under its own name.
    """

    model_config = MODEL

    columns: Columns
    fields: dict[Identifier, Place] = Field(default_factory=dict)
    parameters: dict[ParameterName, ColumnType] = Field(default_factory=dict)
    query: dict[QueryName, str] = Field(default_factory=dict)

    def place_of(self, column: str) -> tuple[str, ...]:
        """Where the column is in a record."""
        return self.fields.get(column, (column,))


class ReadSpec(Spec):
    """What FETCH and LOOKUP share. A record may lack the columns in `optional`."""

    optional: tuple[Identifier, ...] = ()


class FetchSpec(ReadSpec):
    """Reads the records in the array at `items`, page by page."""

    fetch: Path
    items: Place = ()
    pages: Pages | None = None
    max_pages: int = Field(default=1_000, ge=1, le=100_000)


class LookupSpec(ReadSpec):
    """Reads one record: the object, or the only item of the array, at `record`."""

    lookup: Path
    record: Place = ()


class KeySpec(BaseModel):
    """Where a request carries our idempotency key: exactly one of header, query parameter, field or path.

    `length` cuts it to the width of the target, never below 20 characters.
    """

    model_config = MODEL

    header: HeaderName | None = None
    parameter: QueryName | None = None
    field: Place | None = Field(default=None, min_length=1)
    path: Literal[True] | None = None
    length: int | None = Field(default=None, ge=20, le=128)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(place is not None for place in (self.header, self.parameter, self.field, self.path)) != 1:
            raise ValueError("name exactly one of header, parameter, field and path.")
        return self

    def sent(self, key: str) -> str:
        """The key as it is sent."""
        return key[: self.length]


class FindSpec(BaseModel):
    """How a record is found by our key: `{key}` goes into `path` or `query`.

    `record` is where the answer has the records; `id` their external id; `key` where they carry our key.
    """

    model_config = MODEL

    path: Path
    query: dict[QueryName, str] = Field(default_factory=dict)
    record: Place = ()
    id: Place
    key: Place | None = None


class PresentSpec(BaseModel):
    """How an answer says that the record was there before: a status, a header, or a true value in it."""

    model_config = MODEL

    status: int | None = Field(default=None, ge=200, le=299)
    header: HeaderName | None = None
    field: Place | None = None

    @model_validator(mode="after")
    def _one_sign(self) -> Self:
        if sum(sign is not None for sign in (self.status, self.header, self.field)) != 1:
            raise ValueError("name exactly one of status, header and field.")
        return self


class AnswerSpec(BaseModel):
    """What the answer to a PUSH tells.

    `results` is where a batch's results are, one for each record, in its order or by `key`. `id` and `error`
    are in a result, or in the answer to a single record; an `error` that is there and not empty means that
    the record was refused.
    """

    model_config = MODEL

    results: Place | None = None
    key: Place | None = None
    id: Place | None = None
    error: Place | None = None
    present: PresentSpec | None = None

    @property
    def tells_nothing(self) -> bool:
        """Whether the answer's body does not matter."""
        in_body = self.present is not None and self.present.field is not None
        return not in_body and self.results is None and self.id is None and self.error is None


class PushSpec(Spec):
    """Sends records: one at a time or, with `batch_size`, as an array. `body` is where they go."""

    push: Path
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    body: Place = ()
    decimals: DecimalForm = "number"
    batch_size: int | None = Field(default=None, ge=1, le=MAX_BATCH)
    atomic: bool = False
    idempotency: Idempotency = Idempotency.NONE
    key: KeySpec | None = None
    overwrites: bool = Field(
        default=False, description="Whether the system overwrites what it has under the key: look first."
    )
    find: FindSpec | None = None
    answer: AnswerSpec = AnswerSpec()

    @property
    def looks_first(self) -> bool:
        """Whether every record is looked up before it is written."""
        return self.overwrites or self.idempotency is Idempotency.LOOKUP

    def sent_key(self, key: str) -> str:
        """The idempotency key as the system sees it."""
        return self.key.sent(key) if self.key else key


type OperationSpec = FetchSpec | LookupSpec | PushSpec


type AnyOperation = Annotated[
    Annotated[FetchSpec, Tag("fetch")]
    | Annotated[LookupSpec, Tag("lookup")]
    | Annotated[PushSpec, Tag("push")],
    BY_KIND,
]
