"""When a breaker opens, how it spaces probes out, and that one success closes it."""

from bzzz_core.breaker import Breaker, Health


def test_some_failures_in_a_row_open_it() -> None:
    breaker = Breaker(failures_max=3)
    assert breaker.state is Health.HEALTHY
    breaker.failed(0)
    breaker.failed(0)
    assert breaker.state is Health.DEGRADED
    breaker.succeeded()
    breaker.failed(0)
    breaker.failed(0)
    assert not breaker.open
    breaker.failed(0)
    assert breaker.state is Health.FAILED


def test_probes_come_at_growing_distances_up_to_a_limit() -> None:
    breaker = Breaker(failures_max=1, probe_ms_min=100, probe_ms_max=350)
    now_ms, distances = 1_000, []
    breaker.failed(now_ms)
    for _ in range(4):
        due_ms = next(t for t in range(now_ms, now_ms + 9_999) if breaker.may_probe(t))
        distances.append(due_ms - now_ms)
        now_ms = due_ms
        breaker.failed(now_ms)
    assert distances == [100, 200, 350, 350]
    breaker.succeeded()
    breaker.failed(now_ms)
    assert breaker.may_probe(now_ms + 100)


def test_failures_under_way_when_it_opened_do_not_put_the_probe_off() -> None:
    breaker = Breaker(failures_max=1, probe_ms_min=100, probe_ms_max=10_000)
    for now_ms in range(64):
        breaker.failed(now_ms)
    assert breaker.may_probe(100)


def test_closed_it_lets_everything_through() -> None:
    breaker = Breaker(failures_max=2)
    breaker.failed(5)
    assert breaker.may_probe(5)
