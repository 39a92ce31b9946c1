#!/usr/bin/env python3
"""hack/lib/follow.py on objects as the API server sends them."""
import io
import json
import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import follow  # noqa: E402


def upgrade(generation=2, observed=2, version="4.3.1", current="4.3.0", phases=(), ready="False", stalled="False", **operation):
    return {
        "metadata": {"name": "oms", "generation": generation},
        "spec": {"version": version},
        "status": {
            "observedGeneration": observed,
            "currentVersion": current,
            "direction": "Upgrade",
            "phases": list(phases),
            "operation": {"id": "0123456789ab", "direction": "Upgrade", "from": "4.3.0", "to": "4.3.1", **operation},
            "conditions": [
                {"type": "Ready", "status": ready, "reason": "R", "message": "ready text"},
                {"type": "Stalled", "status": stalled, "reason": "S", "message": "stalled text"},
            ],
        },
    }


class Clock:
    def __init__(self):
        self.value = 1000.0

    def __call__(self):
        return self.value


class Follower(unittest.TestCase):
    def setUp(self):
        self.out, self.clock = io.StringIO(), Clock()
        self.story = follow.Story(self.out, False, self.clock)

    def lines(self):
        return self.out.getvalue().splitlines()

    def test_an_object_in_pieces_is_read_whole(self):
        text = json.dumps({"a": "}{"}, indent=2) + "\n" + json.dumps({"b": 2})
        stream, items = follow.Stream(), []
        for char in text:
            items += stream.feed(char)
        self.assertEqual(items, [{"a": "}{"}, {"b": 2}])

    def test_an_older_generation_is_not_the_end(self):
        self.assertIsNone(follow.settled(upgrade(generation=2, observed=1, ready="True", current="4.3.1"), 2))
        self.assertIsNone(follow.settled(upgrade(generation=1, observed=1, ready="True", current="4.3.1"), 2))
        self.assertIsNone(follow.settled({"metadata": {"generation": 1}, "spec": {}}, 0))

    def test_nothing_is_told_of_an_older_generation(self):
        self.story.tell(upgrade(generation=2, observed=1, phases=[{"name": "ImageLoaded", "state": "Done"}]))
        self.assertEqual(self.lines(), [])

    def test_the_ends_are_told_apart(self):
        self.assertEqual(follow.settled(upgrade(ready="True", current="4.3.1"), 2)[0], 0)
        self.assertEqual(follow.settled(upgrade(ready="True", current="4.3.0"), 2)[0], 3)
        self.assertEqual(follow.settled(upgrade(stalled="True"), 2)[0], 1)
        self.assertIsNone(follow.settled(upgrade(), 2))

    def test_a_step_is_told_once_with_time_and_bytes(self):
        phase = {
            "name": "ImageLoaded", "state": "Done", "startedAt": "2025-01-01T00:00:00.100Z",
            "finishedAt": "2025-01-01T00:00:03.300Z", "bytesDone": 3 << 20, "bytesTotal": 3 << 20,
        }
        self.story.tell(upgrade(phases=[phase]))
        self.story.tell(upgrade(phases=[phase]))
        told = [line for line in self.lines() if "ImageLoaded" in line]
        self.assertEqual(len(told), 1)
        self.assertIn("3.2 s", told[0])
        self.assertIn("3.0 MiB", told[0])

    def test_a_failure_says_why(self):
        self.story.tell(upgrade(phases=[{"name": "ImageLoaded", "state": "Failed", "message": "checksum differs"}]))
        self.assertIn("FAILED   checksum differs", self.lines()[-1])

    def test_without_a_terminal_progress_comes_at_most_each_ten_seconds(self):
        phase = {"name": "DatabasesBackedUp", "state": "Running", "bytesDone": 1 << 20, "bytesTotal": 4 << 20}
        for _ in range(30):
            self.story.tell(upgrade(phases=[phase]))
            self.clock.value += 1
        told = [line for line in self.lines() if "runs" in line]
        self.assertEqual(len(told), 2, self.lines())
        self.assertIn("1.0 MiB of 4.0 MiB (25%)", told[0])

    def test_the_downtime_is_marked_once_and_in_its_place(self):
        phases = [{"name": "ContainersStopped", "state": "Done"}, {"name": "HeartbeatCompacted", "state": "Done"}]
        item = upgrade(phases=phases, t1="2025-01-01T00:00:00Z", t2="2025-01-01T00:00:09Z", downtime="9s")
        self.story.tell(item)
        self.story.tell(item)
        text = self.out.getvalue()
        self.assertEqual(text.count("OMS is down (T1"), 1)
        self.assertEqual(text.count("OMS is back"), 1)
        self.assertLess(text.index("ContainersStopped"), text.index("T1"))
        self.assertLess(text.index("T1"), text.index("HeartbeatCompacted"))
        self.assertIn("downtime 9s", text)

    def test_an_operation_that_had_ended_before_is_no_news(self):
        item = upgrade(phases=[{"name": "ImageLoaded", "state": "Done"}], t1="2025-01-01T00:00:00Z")
        item["status"]["direction"] = "None"
        self.story.tell(item)
        self.assertEqual([line for line in self.lines() if "ready text" not in line], [])
        item["status"]["operation"]["id"] = "next"
        self.story.tell(item)
        self.assertIn("ImageLoaded", self.out.getvalue())

    def test_what_waits_for_a_person_says_for_what_and_once(self):
        item = upgrade(phases=[{"name": "ImageLoaded", "state": "Done"}])
        item["status"]["conditions"].append({"type": "Reconciling", "status": "False"})
        item["status"]["message"] = "approve it by hash"
        self.story.tell(item)
        self.story.tell(item)
        self.assertEqual([line for line in self.lines() if "waits: R: approve it by hash" in line], self.lines()[-1:])

    def test_a_way_back_is_told_as_one_and_steps_of_both_ways_are_told_twice(self):
        phases = [{"name": "HADisabled", "state": "Done"}, {"name": "ContainersStopped", "state": "Done"}]
        self.story.tell(upgrade(phases=phases, t1="2025-01-01T00:00:00Z"))
        phases = [{"name": "HADisabled", "state": "Done"}, {"name": "NewContainersStopped", "state": "Done"},
                  {"name": "DatabasesRestored", "state": "Done"}]
        item = upgrade(phases=phases, direction="Rollback", t1="2025-01-01T00:00:00Z", t3="2025-01-01T00:01:00Z")
        self.story.tell(item)
        item["status"]["operation"].update(t2="2025-01-01T00:02:00Z", downtime="2m")
        self.story.tell(item)
        text = self.out.getvalue()
        self.assertIn("rollback, the upgrade from 4.3.0 to 4.3.1 is rolled back", text)
        self.assertEqual(text.count("HADisabled"), 2)
        self.assertEqual([text.count(t) for t in ("T1", "T2", "T3")], [1, 1, 1])
        self.assertLess(text.index("NewContainersStopped"), text.index("T3"))
        self.assertLess(text.index("T3"), text.index("DatabasesRestored"))
        self.assertLess(text.index("T3"), text.index("T2"))

    def test_an_undo_names_what_it_undoes_and_tells_no_times_of_it(self):
        item = upgrade(direction="Rollback", undoes="abcdef012345", startedAt="2025-01-01T01:00:00Z",
                       t1="2025-01-01T00:00:00Z", t2="2025-01-01T00:00:09Z", **{"from": "4.3.1", "to": "4.3.0"})
        self.story.tell(item)
        text = self.out.getvalue()
        self.assertIn("rollback, the upgrade from 4.3.0 to 4.3.1 (abcdef01) is undone", text)
        self.assertNotIn("T1", text)
        self.assertNotIn("T2", text)

    def test_times_and_sizes_read_well(self):
        self.assertEqual(follow.seconds(3.21), "3.2 s")
        self.assertEqual(follow.seconds(125), "2 min 05 s")
        self.assertEqual(follow.seconds(3725), "1 h 02 min")
        self.assertEqual(follow.size(512), "512 B")
        self.assertEqual(follow.size(1536), "1.5 KiB")
        self.assertEqual(follow.size(3 << 40), "3072.0 GiB")


if __name__ == "__main__":
    unittest.main(verbosity=1)
