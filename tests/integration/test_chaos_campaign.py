"Drawn episodes against the independent broker; the whole campaign with --full."

from futures_algo.chaos.campaign import run_campaign


def test_nothing_the_broker_says_can_hurt(campaign):
    result = run_campaign(1, campaign(25, full=10_000), minutes=60 * 24)
    assert not result["violations"], result["violations"]
    assert result["seeds"] == campaign(25, full=10_000) and sum(result["faults"].values()) > 3 * result["seeds"]
