"""Workflows that run the plain one, once or for each of several files."""

from uuid import UUID

from store.runs import RunRow
from tests.support.operators import log, plain
from tests.support.world import World

RUNNING = """
workflow: {key}
inputs: {{file: {{type: text}}}}
{more}
steps:
  - key: child
    run:
      workflow: {below}
      inputs: {{file: "${{{{ inputs.file }}}}"}}
      {options}
"""
DISPATCHING = """
workflow: many
inputs: {list: {type: text}}
steps:
  - key: files
    fetch:
      connector: worklog
      operation: records
      with: {path: "${{ inputs.list }}", columns: {file: text}}
  - key: each
    dispatch: {over: files, key: [file], workflow: plain, inputs: {file: "${{ chunk.file }}"}}
"""


def running(key: str = "parent", below: str = "plain", options: str = "", more: str = "") -> str:
    """A workflow that runs another one with the same file."""
    return RUNNING.format(key=key, below=below, options=options, more=more)


def nesting(world: World, lines: int = 5, *, options: str = "", more: str = "", child: str = "") -> RunRow:
    """A run that runs the plain workflow over so many lines; nobody executes it yet."""
    world.publish(plain(more=child))
    world.publish(running(options=options, more=more))
    return world.start("parent", file=world.upload(log(lines)))


def dispatching(world: World, files: int = 3, lines: int = 2) -> RunRow:
    """A run that runs the plain workflow for each of several files."""
    world.publish(plain())
    world.publish(DISPATCHING)
    names = [world.upload(log(lines, first=100 * number)) for number in range(files)]
    return world.start("many", list=world.upload("\n".join(["file", *names, ""]).encode()))


def below(world: World, run: RunRow | UUID) -> list[RunRow]:
    """The runs that were started for a run, oldest first."""
    above = run if isinstance(run, UUID) else run.id
    query = "SELECT id FROM sluice.workflow_run WHERE parent_run_id = %s ORDER BY created_at, id"
    return [world.run(found) for (found,) in world.sql(query, [above])]
