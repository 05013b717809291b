"""The fan-out as a workflow of this engine: a parent that dispatches chunks."""

from benchmarks.own.definitions import CONNECTOR

_DEFINITION = """
workflow: {key}
inputs: {{unit: {{type: text}}, chunks: {{type: integer}}}}
steps:
  - key: post_each
    dispatch:
      over:
        fetch:
          connector: {connector}
          operation: chunks
          with: {{unit: "${{{{ inputs.unit }}}}", chunks: "${{{{ inputs.chunks }}}}"}}
      key: [unit]
      concurrency: {concurrency}
      batch: {batch}
      steps:
        - key: priced
          transform:
            sql: |
              SELECT unit, '[{{"line":' || line || ',"project":"' || project || '","day":"' || day
                || '","amount":' || ((minutes * rate + 30) // 60) || '}}]' AS payload
              FROM chunk
        - key: post
          push: {{connector: {connector}, operation: post, records: priced, key: [unit]}}
"""

CONCURRENCY = 50


def workflow(batch: int) -> str:
    """The workflow's key."""
    return f"bench-fan-{batch}"


def definition(batch: int) -> str:
    """Chunks of one record each; `batch` of them share an activity."""
    concurrency = max(CONCURRENCY, 4 * batch)
    return _DEFINITION.format(key=workflow(batch), connector=CONNECTOR, concurrency=concurrency, batch=batch)
