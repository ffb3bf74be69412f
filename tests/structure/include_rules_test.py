#!/usr/bin/env python3
"""include_rules.py must catch each kind of violation, and let the allowed ones pass."""

import tempfile
import unittest
from pathlib import Path

import include_rules


class IncludeRulesTest(unittest.TestCase):
    def violations(self, files):
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                file = Path(root, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            return include_rules.violations(Path(root))

    def assert_one(self, files, message):
        found = self.violations(files)
        self.assertEqual(len(found), 1, found)
        self.assertIn(message, found[0])

    def test_allowed_directions_pass(self):
        self.assertEqual([], self.violations({
            "common/storage/file.h": "",
            "worker/data/dataset.h": '#include "common/storage/file.h"\n#include <vector>\n#include "absl/status/status.h"\n',
            "worker/train/loop.cc": '#include "worker/data/dataset.h"\n#include <torch/types.h>\n',
            "coordinator/state/machine.h": '#include "pixelrec/v1/job.pb.h"\n',
            "worker/trainer_plan.cc": '#include "pixelrec/v1/trainer_channel.pb.h"\n',
        }))

    def test_a_room_may_have_a_proto_file_of_its_own(self):
        record = {"coordinator/state/record.proto": ""}
        self.assertEqual([], self.violations({**record, "coordinator/engine/replay.cc": '#include "coordinator/state/record.pb.h"\n'}))
        self.assert_one({**record, "ctl/list.cc": '#include "coordinator/state/record.pb.h"\n'}, "ctl must not include coordinator/state")

    def test_wrong_direction_names_file_and_line(self):
        self.assert_one({"worker/train/loop.h": "", "worker/data/dataset.h": '\n#include "worker/train/loop.h"\n'},
                        "worker/data/dataset.h:2: worker/data must not include worker/train")

    def test_pure_state_sees_of_common_only_the_reasons(self):
        files = {"common/rpc/reasons.h": "", "common/rpc/server.h": "", "coordinator/state/machine.cc": '#include "common/rpc/reasons.h"\n'}
        self.assertEqual([], self.violations(files))
        self.assert_one({**files, "coordinator/state/view.cc": '#include "common/rpc/server.h"\n'}, "coordinator/state must not include common/rpc")
        self.assert_one({"coordinator/state/view.cc": "#include <thread>\n"}, "coordinator/state is pure")

    def test_a_library_outside_its_rooms(self):
        self.assert_one({"worker/data/plan.cc": "#include <grpcpp/channel.h>\n"}, "worker/data must not see gRPC")

    def test_libtorch_outside_its_rooms(self):
        self.assert_one({"worker/agent/agent.cc": "#include <ATen/ATen.h>\n"}, "worker/agent must not see LibTorch")

    def test_protobuf_in_a_torch_room(self):
        self.assert_one({"worker/model/hllm.cc": '#include "pixelrec/v1/job.pb.h"\n'}, "must not see generated protobuf")

    def test_protobuf_and_libtorch_meeting_through_a_header(self):
        self.assert_one({"worker/train/loop.h": "#include <torch/types.h>\n", "worker/trainer_plan.h": '#include "pixelrec/v1/job.pb.h"\n',
                         "worker/trainer_main.cc": '#include "worker/train/loop.h"\n#include "worker/trainer_plan.h"\n'},
                        "worker/trainer_main.cc:1: sees both LibTorch and generated protobuf")

    def test_relative_missing_and_roomless_files(self):
        self.assert_one({"ctl/main.cc": '#include "../common/rpc/server.h"\n'}, "name headers from the repository's root")
        self.assert_one({"ctl/main.cc": '#include "common/rpc/gone.h"\n'}, "does not exist")
        self.assert_one({"worker/extra/thing.cc": ""}, "lies in no room")

    def test_two_common_folders_including_each_other(self):
        self.assert_one({"common/rpc/a.h": '#include "common/process/b.h"\n', "common/process/b.h": "", "common/process/c.h": '#include "common/rpc/d.h"\n',
                         "common/rpc/d.h": ""}, "include each other")


if __name__ == "__main__":
    unittest.main()
