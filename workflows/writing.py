"""Which steps write, themselves or through others."""

from workflows.catalogue import Catalogue
from workflows.model import Step


def writer(step: Step, catalogue: Catalogue) -> str | None:
    """The key of the step that writes when this one runs, if any; its own when another workflow does."""
    if step.dispatch and step.dispatch.steps:
        return next((inner.key for inner in step.dispatch.steps if inner.writes), None)
    part = step.dispatch or step.run
    if part is None or part.workflow is None:
        return step.key if step.writes else None
    version = catalogue.workflow(part.workflow)
    writes = version is not None and any(one.writes for one in version.workflow.all_steps())
    return step.key if writes else None
