"""Send one object's plan and see how it ended: write, look after what the answers say nothing of, read back, and note
it with the connector's session. A cycle and a rollback send alike. It decides nothing: the plan says what to write.
"""

from __future__ import annotations

from functools import partial

from engage_sync.core.plan import Bucket, ObjectPlan
from engage_sync.errors import EngageError
from engage_sync.sync.progress import Progress
from engage_sync.sync.push import Pushed, Target, count_buckets, push
from engage_sync.sync.readback import Fields, look_after, read_back
from engage_sync.sync.sessions import Session


def send(session: Session, target: Target, plan: ObjectPlan, fields: Fields, progress: Progress) -> Pushed:
    """Write one object's plan. An error of the connector ends its part of the run, and is noted with the session."""
    pushed = push(target, plan, partial(progress.pushed, plan.object))
    session.error = pushed.error
    look_after(target, plan, pushed, fields)
    verified = read_back(target, plan, pushed, session.file.verify, fields)
    if verified is not None:
        session.verified[plan.object] = verified
    session.incomplete |= not {Bucket.FAILED, Bucket.REFUSED}.isdisjoint(pushed.buckets.values())
    session.buckets[plan.object] = count_buckets(plan, pushed, held=False)
    return pushed


def leave(session: Session, plan: ObjectPlan, error: EngageError) -> Pushed:
    """Count an object's plan that is not sent, because an error ended the connector's part of the run before."""
    left = Pushed.unsent(plan, error)
    session.buckets[plan.object] = count_buckets(plan, left, held=False)
    return left
