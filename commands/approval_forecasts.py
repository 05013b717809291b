"""What an operator's action would do to a run's requests for approval."""

from commands.courses import REPLAY, RETRY, Course
from commands.foreseen import ApprovalCounts
from store.forecasts import Known
from workflows.states import ApprovalState


def approval_counts(course: Course, known: Known) -> ApprovalCounts:
    """By how the latest request of each rule stands. A new run asks whatever its records call for."""
    found = known.approvals
    opened = found[ApprovalState.REQUESTED]
    if course is REPLAY:
        return ApprovalCounts()
    if course is RETRY:
        refused = found[ApprovalState.REJECTED] + found[ApprovalState.EXPIRED]
        return ApprovalCounts(renews=found[ApprovalState.APPROVED], asks=refused, stays=opened)
    if course.goes_on or course.pauses:
        return ApprovalCounts(stays=opened)
    return ApprovalCounts(ends=opened)
