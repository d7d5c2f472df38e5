"""What a run prints."""

from collections.abc import Sequence

from proofs.chaos.history import History, Line, Question


def said_of(fault: Line) -> str:
    """A fault, and how long Holdfast needed to be there again."""
    return f"serves after {fault['serving']:4.1f} s, jobs run after {fault['jobs']:4.1f} s: {fault['name']}"


def summary(history: History, found: Sequence[str]) -> str:
    """What was asked and answered, what was done to the stack, and what the checker found."""
    lines = [_counted(what, history.of(*verbs)) for what, verbs in COUNTED.items()]
    killed = sum(fault["kills"] for fault in history.faults)
    slowest = max((fault["serving"] for fault in history.faults), default=0)
    lines.append(
        f"{len(history.faults)} rounds of faults, {killed} processes killed; "
        f"orders were taken again after {slowest:.1f} s at most."
    )
    lines.append("\n".join(found) if found else "Nothing was lost, doubled or untrue.")
    return "\n".join(lines)


COUNTED = {
    "orders": ("place",),
    "payments": ("pay",),
    "payments and refunds by signed messages": ("payment.captured", "payment.refunded"),
    "cancellations, edits, parcels, counts": ("cancel", "edit", "ship", "adjust"),
}


def _counted(what: str, questions: Sequence[Question]) -> str:
    doubtful = [question for question in questions if question.was_in_doubt]
    return (
        f"{len(questions)} {what} sent: {sum(q.done for q in questions)} acknowledged, "
        f"{sum(q.refused for q in questions)} refused, {len(doubtful)} unknown for a while, of them "
        f"{sum(q.answer is not None for q in doubtful)} recovered."
    )
