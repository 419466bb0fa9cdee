"""A fourth node that joins three under load: a short form of cluster_grow.py, and what it would find."""

import pytest

import cluster_grow


def campaign_of(tmp_path, *arguments):
    return cluster_grow.parse([*arguments, "--quiet", "--data", str(tmp_path / "data")])


def test_a_node_that_joins_takes_its_share_and_no_request_fails(tmp_path):
    campaign = cluster_grow.run(campaign_of(
        tmp_path, "--shards", "8", "--writers", "4", "--actors", "32", "--preload-mb", "4",
        "--before-seconds", "0.5", "--seed", "1"))
    assert campaign.stats["replicas of each"] == [6, 6, 6, 6]
    campaign.cluster.discard()


def shown(tmp_path):
    """A campaign in which all went well."""
    campaign = cluster_grow.Campaign(campaign_of(tmp_path))
    campaign.load = cluster_grow.Load([])
    campaign.stats.update({"replicas of each": [48, 48, 48, 48], "shards led by each": [17, 16, 16, 16],
                           "shards moved": 48, "copies of stores": 48, "requests meanwhile": 1,
                           "requests by the fourth node": 1})
    return campaign


def test_a_campaign_in_which_nothing_moved_or_all_is_not_even_fails(tmp_path):
    campaign = shown(tmp_path)
    campaign.judge()
    for what, missed in {"shards moved": 0, "copies of stores": 0, "requests meanwhile": 0,
                         "requests by the fourth node": 0, "replicas of each": [50, 50, 48, 44],
                         "shards led by each": [18, 16, 16, 14]}.items():
        met = campaign.stats[what]
        campaign.stats[what] = missed
        with pytest.raises(AssertionError, match=what):
            campaign.judge()
        campaign.stats[what] = met


@pytest.mark.parametrize("counts, wanted", [
    ([48, 48, 48, 48], True), ([1, 0], True), ([20, 18], True), ([20, 17], False), ([3, 1], False)])
def test_even_is_a_tenth_or_one(counts, wanted):
    assert cluster_grow.is_even(counts) == wanted


def test_a_request_that_had_to_be_repeated_is_a_failure(tmp_path):
    campaign = shown(tmp_path)
    campaign.load.repeated = 1
    campaign.load.unanswered = ["503"]
    with pytest.raises(AssertionError, match="503"):
        campaign.judge()
