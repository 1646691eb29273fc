"""The half year of the invented company as Segment messages, one JSON line each, in order of time: who signed up, who
joined, who moved up, and what everybody did, on working days and in daytime for the most part. Lines are made as they
are written; nothing is decided here about who the people are."""

from __future__ import annotations

import json
from bisect import bisect
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import accumulate
from random import Random

from engage_sync.sandbox.company_people import DAYS, Firm, Person, first_midnight

DAY_MS = 86_400_000
EVENTS: dict[str, tuple[int, tuple[str, ...]]] = {
    "login": (16, ("{}", '{"sso":true}')),
    "dashboard_viewed": (30, tuple(f'{{"dashboard":"{name}"}}' for name in ("overview", "sales", "costs", "quality"))),
    "report_run": (
        18,
        tuple(
            f'{{"report":"{name}","rows":{rows},"seconds":{seconds}}}'
            for name, rows, seconds in (("weekly", 120, 1.5), ("pipeline", 2400, 4.25), ("stock", 38000, 11.75))
        ),
    ),
    "filter_saved": (7, ('{"shared":true}', '{"shared":false}')),
    "export_created": (7, ('{"format":"csv","rows":1200}', '{"format":"xlsx","rows":90}', '{"format":"pdf"}')),
    "comment_added": (9, ('{"mentions":0}', '{"mentions":1}', '{"mentions":3}')),
    "alert_created": (3, ('{"channel":"email"}', '{"channel":"chat"}')),
    "invite_sent": (2, ('{"role":"member"}', '{"role":"member"}', '{"role":"admin"}')),
    "page": (5, ('{"path":"/settings"}', '{"path":"/help"}', '{"path":"/billing"}')),
    "heartbeat": (3, ("{}",)),
}
"""Event → how often, and the properties it may have. `page` is a page view, the rest are tracked."""

HOURS = (1, 0, 0, 0, 0, 1, 2, 6, 22, 40, 44, 40, 24, 34, 42, 40, 34, 24, 12, 7, 6, 5, 3, 2)
WEEKDAYS = (1.0, 1.08, 1.1, 1.02, 0.84, 0.12, 0.08)


def messages(
    people: Sequence[Person], firms: Sequence[Firm], now: datetime, *, seed: int, events: int, busiest: str
) -> Iterator[str]:
    """Give the lines, oldest first; the newest is an event of the user `busiest` a few minutes before `now`."""
    start = first_midnight(now)
    prefix = f"{seed:x}-{int(now.timestamp()):x}"
    removals = sum(len(person.firms) for person in people if person.deactivated is not None)
    deeds = _deeds(Random(f"{seed} deeds"), people, now, events - removals, busiest)  # noqa: S311 - not a secret
    lines = merge(_introductions(people, firms, now), _written(deeds, people, start), key=lambda line: line[0])
    for number, (_, line) in enumerate(lines):
        yield f'{{"messageId":"{prefix}-{number:06x}",{line}'


def _deeds(
    random: Random, people: Sequence[Person], now: datetime, events: int, busiest: str
) -> list[tuple[int, int, int]]:
    """Draw (milliseconds since the start, index of the person, a number that picks event and properties), sorted."""
    start = first_midnight(now)
    rhythm = [WEEKDAYS[(start.weekday() + day) % 7] * (1 + 0.5 * day / DAYS) for day in range(DAYS)]
    places, weights = [], []
    for index, person in enumerate(people):
        for day in range(person.first_day, person.last_day + 1):
            places.append((index, day))
            weights.append(person.weight * rhythm[day])
    hours = list(accumulate(HOURS))
    zones = [(person.firms[0].zone_hours if person.firms else 0) * 3_600_000 for person in people]
    latest = int((now - start).total_seconds() * 1000)
    deeds = []
    for index, day in random.choices(places, cum_weights=list(accumulate(weights)), k=events - 1):
        hour = bisect(hours, random.random() * hours[-1])
        moment = day * DAY_MS + (hour * 3_600_000 + int(random.random() * 3_600_000) - zones[index]) % DAY_MS
        if moment > latest:  # today, later than now: that was yesterday
            moment -= DAY_MS
        deeds.append((moment, index, random.getrandbits(20)))
    last = next(index for index, person in enumerate(people) if person.id == busiest)
    deeds.append((latest - 7 * 60_000, last, random.getrandbits(20)))
    deeds.sort()
    return deeds


def _written(
    deeds: Sequence[tuple[int, int, int]], people: Sequence[Person], start: datetime
) -> Iterator[tuple[int, str]]:
    dates = [(start + timedelta(days=day)).strftime("%Y-%m-%dT") for day in range(DAYS)]
    names = [name for name, (often, _) in EVENTS.items() for _ in range(often)]
    heads = {
        name: '"type":"page","name":"Settings","userId":"'
        if name == "page"
        else f'"type":"track","event":"{name}","userId":"'
        for name in EVENTS
    }
    firms = [[f'","context":{{"groupId":"{firm.id}"}}' for firm in person.firms] or ['"'] for person in people]
    began = int(start.timestamp() * 1000)
    for moment, index, number in deeds:
        person = people[index]
        day, rest = divmod(moment, DAY_MS)
        seconds, thousandth = divmod(rest, 1000)
        minutes, second = divmod(seconds, 60)
        name = names[number % len(names)]
        choices = EVENTS[name][1]
        user = person.former_id if person.former_id and day < person.renamed else person.id
        firm = firms[index][(number >> 14) % len(firms[index])]
        clock = f"{minutes // 60:02}:{minutes % 60:02}:{second:02}.{thousandth:03}Z"
        properties = choices[(number >> 8) % len(choices)]
        line = f'{heads[name]}{user}","timestamp":"{dates[day]}{clock}{firm},"properties":{properties}}}\n'
        yield began + moment, line


# --- who everybody is ----------------------------------------------------------------------------------------------


def _introductions(people: Sequence[Person], firms: Sequence[Firm], now: datetime) -> list[tuple[int, str]]:
    """Give identify, group and alias lines with their instant in epoch milliseconds, sorted."""
    start = first_midnight(now)
    lines: list[tuple[int, str]] = []
    members: dict[str, Person] = {}
    for person in people:
        known = max(person.joined, start + timedelta(minutes=1))
        lines.append(_identify(person, known, now))
        for firm in person.firms:
            traits = _firm_traits(firm, before_upgrade=firm.upgraded is not None)
            since = max(known, firm.signed_up)
            lines.append(
                _line(since, {"type": "group", "userId": _id_at(person, since, start), "groupId": firm.id}, traits)
            )
            members.setdefault(firm.id, person)
        if person.former_id:
            day = start + timedelta(days=person.renamed)
            lines.append(_line(day, {"type": "alias", "previousId": person.former_id, "userId": person.id}, None))
        if person.deactivated:
            gone: dict[str, object] = {"deactivatedAt": _instant(person.deactivated)}
            lines.append(_line(person.deactivated, {"type": "identify", "userId": person.id}, gone))
            lines += [_removed(person, firm) for firm in person.firms]
    for firm in firms:
        if firm.upgraded is not None and firm.id in members:
            day = max(start + timedelta(days=firm.upgraded, hours=9), members[firm.id].joined + timedelta(minutes=5))
            named = {"type": "group", "userId": _id_at(members[firm.id], day, start), "groupId": firm.id}
            lines.append(_line(day, named, _firm_traits(firm, before_upgrade=False)))
    lines.sort()
    return lines


def _id_at(person: Person, moment: datetime, start: datetime) -> str:
    return person.former_id if person.former_id and moment < start + timedelta(days=person.renamed) else person.id


def _identify(person: Person, known: datetime, now: datetime) -> tuple[int, str]:
    loud = person.id.endswith("7")  # some systems keep the case in which an address was typed
    traits: dict[str, object] = {
        "email": person.email.title() if loud else person.email,
        "name": person.name,
        "title": person.title,
        "role": person.role,
        "plan": person.firms[0].plan if person.firms else "team",
        "createdAt": _instant(person.joined),
    }
    return _line(known, {"type": "identify", "userId": _id_at(person, known, first_midnight(now))}, traits)


def _removed(person: Person, firm: Firm) -> tuple[int, str]:
    """Say that a firm removed somebody: an event of the account, of no user."""
    assert person.deactivated is not None
    moment = person.deactivated + timedelta(seconds=1)
    body = {
        "type": "track",
        "event": "member_removed",
        "groupId": firm.id,
        "timestamp": _instant(moment),
        "properties": {"role": person.role},
    }
    return int(moment.timestamp() * 1000), json.dumps(body, separators=(",", ":"))[1:] + "\n"


def _firm_traits(firm: Firm, *, before_upgrade: bool) -> dict[str, object]:
    return {
        "name": firm.name,
        "domain": firm.domain,
        "plan": "team" if before_upgrade else firm.plan,
        "mrr": firm.mrr * 6 // 100 * 10 if before_upgrade else firm.mrr,
        "seats": firm.seats,
        "renewal_date": firm.renewal.date().isoformat(),
        "createdAt": _instant(firm.signed_up),
    }


def _line(moment: datetime, named: dict[str, str], traits: dict[str, object] | None) -> tuple[int, str]:
    body: dict[str, object] = {**named, "timestamp": _instant(moment)}
    if traits is not None:
        body["traits"] = traits
    return int(moment.timestamp() * 1000), json.dumps(body, ensure_ascii=False, separators=(",", ":"))[1:] + "\n"


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
