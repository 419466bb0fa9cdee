"""Faults that happen to a cluster under load: a short form of cluster_faults.py, and what it would find."""

import pytest

import cluster_faults
from cluster_load import History, check_history


def test_nothing_is_lost_doubled_or_out_of_order_whatever_happens_to_the_nodes(tmp_path):
    campaign = cluster_faults.run(cluster_faults.parse(
        ["--faults", "5", "--seed", "1", "--quiet", "--data", str(tmp_path / "data")]))
    assert campaign.stats["acknowledged"] > 0 and campaign.stats["timers fired"] > 0
    campaign.cluster.discard()


def test_a_campaign_in_which_a_kind_of_fault_did_not_come_fails(tmp_path):
    options = cluster_faults.parse(["--quiet", "--data", str(tmp_path / "data")])
    campaign = cluster_faults.Campaign(options)
    campaign.stats.update(dict.fromkeys(cluster_faults.KINDS, 1), acknowledged=1, repeated=1)
    campaign.stats["timers fired"] = 1
    campaign.tell()
    for kind in cluster_faults.KINDS:
        campaign.stats[kind] = 0
        with pytest.raises(AssertionError, match=f"0 {kind}"):
            campaign.tell()
        campaign.stats[kind] = 1


def history(*seen):
    """Of (began, ended, count, is_read); adds are under keys of their own."""
    h = History()
    h.seen = list(seen)
    h.added = {str(i): count for i, (_, _, count, is_read) in enumerate(seen) if not is_read}
    return h


def test_an_order_that_agrees_with_real_time_is_taken():
    check_history(history((1, 2, 1, False), (3, 9, 3, False), (3, 8, 2, False), (4, 7, 1, True),
                          (10, 11, 3, True)), "a")


@pytest.mark.parametrize("seen", [
    [(1, 2, 1, False), (3, 4, 3, False)],                      # one is lost, or one acted twice
    [(1, 2, 1, False), (1, 2, 1, False)],                      # two are one
    [(1, 2, 1, False), (3, 4, 2, False), (5, 6, 1, True)],     # a read of what was before
    [(1, 2, 2, False), (3, 4, 1, False)],                      # the later one came first
    [(1, 2, 1, False), (3, 9, 2, False), (4, 5, 2, True), (6, 7, 1, True)],  # back and forth
])
def test_an_order_that_does_not_is_found(seen):
    with pytest.raises(AssertionError):
        check_history(history(*seen), "a")
