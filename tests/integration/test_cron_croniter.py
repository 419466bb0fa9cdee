"""Cron expressions against croniter: the same random expressions, the same due times.

croniter walks local time without a zone; which instant a local time has is taken from zoneinfo
here, by the contract's rule (a gap: the first instant after it; a repetition: the first pass), so
days with clock changes are compared as well. Skipped where croniter is missing.

The seeds are fixed, so that a run says the same every time. Others, and more of them:

    CRON_SEED="7 8" CRON_EXPRESSIONS=20000 pytest tests/integration/test_cron_croniter.py
"""
import datetime
import os
import random
import subprocess
import zoneinfo

import pytest

croniter = pytest.importorskip("croniter")

BUILD = os.environ.get("top_builddir", "build")
PROGRAM = os.path.join(BUILD, "tests/lib/cron_next")
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata",
         "America/Sao_Paulo", "Africa/Casablanca", "Pacific/Apia", "Pacific/Chatham"]
SEEDS = [int(seed) for seed in os.environ.get("CRON_SEED", "1 2 3").split()]
EXPRESSIONS = int(os.environ.get("CRON_EXPRESSIONS", "150"))  # of each seed
DUE_TIMES = 60
NAMES = {3: "jan feb mar apr may jun jul aug sep oct nov dec".split(),
         4: "sun mon tue wed thu fri sat".split()}
LIMITS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]


def random_value(rng, field, low, high):
    value = rng.randint(low, high)
    if field in NAMES and rng.random() < 0.4:
        name = NAMES[field][value - LIMITS[field][0]]
        return value, rng.choice([name, name.upper(), name.title()])
    return value, str(value)


def random_item(rng, field):
    low, high = LIMITS[field]
    kind = rng.random()
    if kind < 0.2:
        return "*/%d" % rng.randint(1, high)
    first, first_text = random_value(rng, field, low, high)
    if kind < 0.6:
        return first_text
    _, last_text = random_value(rng, field, first, high)
    text = first_text + "-" + last_text
    return text if kind < 0.8 else text + "/%d" % rng.randint(1, high)


def random_expression(rng):
    fields = []
    for field in range(5):
        if rng.random() < (0.35 if field < 2 else 0.5):
            fields.append("*")
        else:
            fields.append(",".join(random_item(rng, field) for _ in range(rng.randint(1, 3))))
    return " ".join(fields)


def instant(local, zone):
    """The first instant at which the zone's clock shows `local` or a later time."""
    utc = datetime.timezone.utc
    aware = local.replace(tzinfo=zone)
    at = int(aware.timestamp())
    if datetime.datetime.fromtimestamp(at, zone).replace(tzinfo=None) == local:
        return at
    low, high = at - 2 * 86400, at + 2 * 86400  # in a gap: search its end
    while high - low > 1:
        middle = (low + high) // 2
        shown = datetime.datetime.fromtimestamp(middle, utc).astimezone(zone)
        if shown.replace(tzinfo=None) < local:
            low = middle
        else:
            high = middle
    return high


def by_croniter(expression, zone_name, after, count):
    zone = zoneinfo.ZoneInfo(zone_name)
    start = datetime.datetime.fromtimestamp(after, zone).replace(tzinfo=None)
    # back over a repeated hour or skipped day, so that nothing after the start is missed
    steps = croniter.croniter(expression, start - datetime.timedelta(days=2))
    due = []
    while len(due) < count:
        try:
            local = steps.get_next(datetime.datetime)
        except croniter.CroniterBadDateError:
            break
        at = instant(local, zone)
        if at > after and (not due or at > due[-1]):
            due.append(at)
    return due


def jumps_in_march():
    """Whether this croniter has the fault that what_croniter_can_tell leaves room for."""
    steps = croniter.croniter("0 0 1,31 * *", datetime.datetime(2023, 2, 10))
    return steps.get_next(datetime.datetime) != datetime.datetime(2023, 3, 1)


def what_croniter_can_tell(due, question):
    """Without the first two days of March where the days of the month include 30 or 31.

    croniter 1.3.5 jumps over these days then. From a day in February after the last that is listed and
    exists, it goes ahead by as many days as lie between that day and the next number listed, which may be
    30 or 31 (_get_next_nearest_diff takes it although February has no such day): so it comes down on
    2 or 3 March, 1 or 2 March in a leap year, and looks no more at the days before.
    """
    expression, zone_name, _, _ = question
    days_of_month = croniter.croniter.expand(expression)[0][2]
    if not jumps_in_march() or not {30, 31}.intersection(days_of_month):
        return due
    zone = zoneinfo.ZoneInfo(zone_name)
    shown = [(at, datetime.datetime.fromtimestamp(at, zone)) for at in due]
    return [at for at, local in shown if local.month != 3 or local.day > 2]


def names_every_day(expression):
    """Other than by a `*`: croniter 6 takes that for a restriction, before it did not. We do not."""
    days = [(2, 31), (4, 7)]
    expanded = croniter.croniter.expand(expression)[0]
    return any(text != "*" and (expanded[field] == ["*"] or len(set(expanded[field])) == count)
               for field, count in days for text in [expression.split()[field]])


def by_dormouse(questions):
    lines = "".join("%s|%d|%d|%s\n" % (zone, after, count, expression)
                    for expression, zone, after, count in questions)
    done = subprocess.run([PROGRAM], input=lines, capture_output=True, text=True, timeout=120,
                          check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("seed", SEEDS)
def test_random_expressions_are_due_when_croniter_says(seed):
    rng = random.Random(seed)
    questions = []
    while len(questions) < EXPRESSIONS:
        after = rng.randint(int(datetime.datetime(2005, 1, 1).timestamp()),
                            int(datetime.datetime(2036, 1, 1).timestamp()))
        expression = random_expression(rng)
        if not names_every_day(expression):
            questions.append((expression, rng.choice(ZONES), after, DUE_TIMES))
    answers = by_dormouse(questions)
    assert len(answers) == len(questions)
    compared = 0
    for question, answer in zip(questions, answers):
        assert not answer.startswith("error"), (question, answer)
        got = [int(at) for at in answer.split()]
        want = by_croniter(*question)
        # croniter gives up earlier than we do where little is due, and at once where the date
        # of an "either" never comes ("31 sep sun").
        assert len(got) >= len(want), question
        got = what_croniter_can_tell(got, question)
        want = what_croniter_can_tell(want, question)
        shorter = min(len(got), len(want))
        assert got[:shorter] == want[:shorter], question
        compared += len(want)
    assert compared > EXPRESSIONS * DUE_TIMES / 2
