"""Media of a simulated city: announced before they happen, and new where forecasts are judged."""

from __future__ import annotations

import numpy as np
import pytest

from metalore.forecast import INTENT_SIZE, Panel
from metalore.intent.city import Announcement, demand_of_items, draw_items, with_announcements
from metalore.intent.errors import IntentError

ZONES = ("arena", "park")
GOING_ON = np.array([["quiet", None], ["quiet", np.nan], ["concert", "quiet"], ["quiet", "market"]], dtype=object)
TIMES = [0.0, 60.0, 120.0, 180.0]
ACTIVITIES = ("quiet", "quiet", "concert", "quiet", "concert", "concert")
PARTS = ("train", "train", "train", "test", "test", "validation")


def test_what_is_announced_takes_the_place_of_what_goes_on() -> None:
    shown = with_announcements(GOING_ON, TIMES, ZONES, [Announcement("arena", "concert", 60.0, 180.0)])
    assert shown.tolist() == [["quiet", None], ["concert", None], ["concert", "quiet"], ["quiet", "market"]]
    assert GOING_ON[1, 0] == "quiet"  # as it was
    later = [Announcement("park", "game", 0.0, 240.0), Announcement("park", "sport", 60.0, 61.0)]
    assert with_announcements(GOING_ON, TIMES, ZONES, later)[:, 1].tolist() == ["game", "sport", "game", "game"]


def test_items_show_the_activity_and_are_new_where_forecasts_are_judged() -> None:
    shown = np.tile(np.array([["quiet", "concert", None, "market"]], dtype=object), (400, 1))
    found = draw_items(shown, ACTIVITIES, PARTS, unseen_from=300, seed=3)
    assert found.dtype == np.int64
    assert set(found[:300, 0]) == {0, 1}
    assert set(found[:300, 1]) == {2}
    assert set(found[300:, 0]) == {3}
    assert set(found[300:, 1]) == {4}
    assert (found[:, 2:] == -1).all()
    assert 100 < (found[:300, 0] == 0).sum() < 200
    np.testing.assert_array_equal(found[:100], draw_items(shown[:100], ACTIVITIES, PARTS, seed=3))
    assert (found != draw_items(shown, ACTIVITIES, PARTS, unseen_from=300, seed=4)).any()


def test_a_panel_takes_them() -> None:
    embeddings = np.random.default_rng(0).standard_normal((len(ACTIVITIES), INTENT_SIZE))
    of = draw_items(GOING_ON, ACTIVITIES, PARTS)
    panel = Panel(np.array(TIMES), ZONES, ("cpu_cores",), np.ones((4, 2, 1)), 60.0, intent=embeddings, intent_of=of)
    assert panel.intent_of is not None
    assert panel.intent_of[2, 0] == 2
    assert (panel.intent_of[:2, 1] == -1).all()


def test_what_cannot_be() -> None:
    with pytest.raises(IntentError, match=r"has the shape \(4, 2\); there are 3 times, 2 zones"):
        with_announcements(GOING_ON, TIMES[:3], ZONES, [])
    with pytest.raises(IntentError, match="there is no zone 'mall' to announce game in"):
        with_announcements(GOING_ON, TIMES, ZONES, [Announcement("mall", "game", 0.0, 1.0)])
    with pytest.raises(IntentError, match="no item is in the part 'test'"):
        draw_items(GOING_ON, ["quiet"], ["train"], unseen_from=2)
    with pytest.raises(IntentError, match="2 activities and 1 parts"):
        draw_items(GOING_ON, ["quiet", "concert"], ["train"])


def test_demand_of_an_item_is_what_zones_need_after_they_show_it() -> None:
    """Zone 0 has concerts, after which it needs three times as much; zone 1 is quiet and ten times as large."""
    concert = np.arange(400) % 10 == 0
    shown = np.where(np.stack([concert, np.zeros(400, bool)], axis=1), "concert", "quiet").astype(object)
    demand = np.stack([np.where(np.roll(concert, 3), 3.0, 1.0), np.full(400, 10.0)], axis=1)
    demand[7, 1] = np.nan
    found = demand_of_items(
        shown, demand, ACTIVITIES, ("train", "test", "train", "validation", "test", "validation"), 3
    )
    assert found.shape == (6, 1)
    assert found[[2, 4, 5], 0] == pytest.approx(3 / 1.2, rel=1e-6)
    assert (found[[0, 1, 3], 0] < 1).all()
    at_once = demand_of_items(
        shown, demand, ACTIVITIES, ("train", "test", "train", "validation", "test", "validation"), 1
    )
    assert at_once[2, 0] == pytest.approx(1 / 1.2, rel=1e-6)


def test_demand_that_cannot_be_had() -> None:
    shown, demand = np.full((40, 1), "quiet", object), np.ones((40, 1))
    parts = ("train", "validation", "train", "test", "test", "train")
    with pytest.raises(IntentError, match=r"demand of the shape \(39, 1\) is asked for 5 intervals .* \(40, 1\)"):
        demand_of_items(shown, demand[1:], ACTIVITIES, parts, 5)
    with pytest.raises(IntentError, match="it is 1 interval or more"):
        demand_of_items(shown, demand, ACTIVITIES, parts, 0)
    with pytest.raises(IntentError, match=r"no zone needs anything 40 intervals .* 'train'; take a longer"):
        demand_of_items(shown, demand, ACTIVITIES, parts, 40)
    with pytest.raises(IntentError, match=r"no zone needs anything 12 intervals .* 'validation'"):
        demand_of_items(shown, demand, ACTIVITIES, parts, 12)
