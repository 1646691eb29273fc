"""The bad days of the fault matrix: what each fault of the stand-ins must end in, by hand from the law (crm-apis §A13,
§B10, architecture §6), and the conditions of crm-apis §E that are no switch, with the test that shows each. Data only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bad:
    """How a run must end while every read (`pull`), and later every write (`push`), meets a fault: the exit code, or in
    a few words why the fault cannot strike there. `buckets` count the two records of the push that are not unchanged.

    `at` are the calls that a pull meets it at, `by_jobs` has the push go by Bulk jobs, `everywhere` has it strike calls
    of any kind. A push meets it `times` times (None: always). `tasks` are those that there are in the end of the one
    whose creation met the fault once.
    """

    pull: int | str = 5
    push: int | str = 5
    buckets: Mapping[str, int] | None = None
    at: str = "*"
    by_jobs: bool = False
    everywhere: bool = False
    times: int | None = None
    tasks: int = 1
    but: str = ""
    """What the row says beside "yes": why a task is not there in the end."""

    def pushed(self) -> Mapping[str, int]:
        """Give the buckets that are expected."""
        if self.buckets is not None:
            return self.buckets
        return {"failed": 2} if self.push in (5, 6, 7) else {"written": 2}


UNKNOWN = {"failed": 2}
LATER = {"held": 2}
HALF = {"written": 1, "failed": 1}
_SENSELESS = Bad(pull=7, push=7)
_LOGIN = Bad(pull=6, push=6)
_REFUSED = "a task that is refused so is told and not made"
_BELIEVED = "of fields; a task is believed, not read back"

HUBSPOT: Mapping[str, Bad] = {
    "too_many_ten_secondly": Bad(),
    "too_many_secondly": Bad(),
    "too_many_daily": Bad(buckets=LATER),
    "locked": Bad(),
    "migration": Bad(buckets=LATER),
    "server_error": Bad(),
    "server_error_after": Bad(),
    "not_utf8": Bad(),
    "bad_gateway": Bad(),
    "unavailable": Bad(),
    "gateway_timeout": Bad(),
    "gateway_timeout_after": Bad(),
    "html_200": _SENSELESS,
    "html_200_after": _SENSELESS,
    "truncated_200": _SENSELESS,
    "cut_body": Bad(),
    "accepted_202": Bad(pull=7, push=1, buckets=UNKNOWN),
    "accepted_202_after": Bad(pull=7, push=0),
    "empty_results": Bad(pull=7, push=1, buckets=UNKNOWN),
    "missing_result": Bad(pull=7, push=0),
    "pretended": Bad(pull="only writes", push=1, buckets=UNKNOWN, tasks=0, but=_BELIEVED),
    "rows_not_found": Bad(pull="only batches of writes", push=1, buckets=HALF),
    "batch_refused": Bad(pull=7, push=1, buckets={"refused": 2}, tasks=0, but=_REFUSED),
    "invalid_token": _LOGIN,
    "expired_token": _LOGIN,
    "missing_scopes": _LOGIN,
    "drop_before": Bad(),
    "drop_after": Bad(),
    "reset_after": Bad(),
    "hang": Bad(),
    "hang_after": Bad(),
    "shuffled": Bad(pull=0, push=0),
}
"""Every fault of HubSpot's stand-in."""

_QUERY = "*/query*"
_ONLY_JOBS = "only writes by Bulk jobs"
_ONLY_WRITES = "only writes"

SALESFORCE: Mapping[str, Bad] = {
    "session_expired": Bad(pull=6, push=6, at=_QUERY),
    "total_requests": Bad(buckets=LATER, at=_QUERY),
    "concurrent_requests": Bad(at=_QUERY),
    "api_disabled": Bad(pull=6, push=6, at=_QUERY),
    "version_retired": Bad(pull=7, push=7, at=_QUERY),
    "server_error": Bad(at=_QUERY),
    "server_error_after": Bad(at=_QUERY),
    "bad_gateway": Bad(at=_QUERY),
    "unavailable": Bad(at=_QUERY),
    "unavailable_after": Bad(at=_QUERY),
    "maintenance": Bad(at=_QUERY),
    "html_200": Bad(pull=7, push=7, at=_QUERY),
    "html_200_after": Bad(pull=7, push=7, at=_QUERY),
    "truncated_200": Bad(pull=7, push=7, at=_QUERY),
    "cut_body": Bad(at=_QUERY),
    "drop_before": Bad(at=_QUERY),
    "drop_after": Bad(at=_QUERY),
    "reset_after": Bad(at=_QUERY),
    "hang": Bad(at=_QUERY),
    "hang_after": Bad(at=_QUERY),
    "lock_rows": Bad(pull=_ONLY_WRITES, push=1, buckets=HALF),
    "missing_result": Bad(pull=_ONLY_WRITES, push=0),
    "empty_results": Bad(pull=_ONLY_WRITES, push=1, buckets=UNKNOWN),
    "pretended": Bad(pull=_ONLY_WRITES, push=1, buckets=UNKNOWN, tasks=0, but=_BELIEVED),
    "expired_locator": Bad(pull="never asked: pages go by the last id", push="only queries"),
    "query_timeout": Bad(push="only queries"),
    "job_fails": Bad(pull=_ONLY_JOBS, push=0, by_jobs=True),
    "job_aborted": Bad(pull=_ONLY_JOBS, push=0, by_jobs=True),
    "job_nothing": Bad(pull=_ONLY_JOBS, push=1, buckets=UNKNOWN, by_jobs=True),
    "poll_503": Bad(pull="only Bulk jobs", push=0, by_jobs=True, times=9),
    "results_cut": Bad(pull="only Bulk jobs", push=5, by_jobs=True),
    "login_refused": Bad(pull=6, push=6, buckets={}, everywhere=True),
    "inactive_user": Bad(pull=6, push=6, buckets={}, everywhere=True),
    "login_503": Bad(buckets={}, everywhere=True),
    "login_429": Bad(buckets={}, everywhere=True),
}
"""Every fault of Salesforce's stand-in."""
