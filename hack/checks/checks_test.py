#!/usr/bin/env python3
"""The checks find what they are there for: each case plants one violation in a small tree."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)
import layers  # noqa: E402
import reasons  # noqa: E402
import texts  # noqa: E402

TREE = {
    "controller/base/result.h": "#include <string>\n",
    "controller/base/log.h": "",
    "controller/base/log.cc": '#include <spdlog/spdlog.h>\n#include "controller/base/log.h"\n',
    "controller/kube/meta.h": '#include "controller/base/result.h"\n',
    "controller/kube/api_client.h": '#include <nlohmann/json_fwd.hpp>\n',
    "controller/kube/rest_client.h": "",
    "controller/kube/rest_client.cc": "#include <cpprest/http_client.h>\n",
    "controller/runtime/informer.h": '#include "controller/kube/api_client.h"\n',
    "controller/runtime/reconciler.h": "",
    "controller/cmd/options.h": "",
    "controller/cmd/main.cc": '#include "reconcilers/drivers/docker/docker.h"\n#include "crd/version.h"\n',
    "crd/version.h": '#include "controller/kube/meta.h"\n#include <compare>\n',
    "reconcilers/decide/planner.h": '#include "crd/version.h"\n#include "reconcilers/steps/state.h"\n',
    "reconcilers/observe/site.h": '#include "controller/kube/api_client.h"\n',
    "reconcilers/steps/state.h": "// State. Pure.\n",
    "reconcilers/steps/stop.cc": '#include "reconcilers/ports/engine.h"\n#include <sys/types.h>\n',
    "reconcilers/ports/engine.h": '#include "controller/base/result.h"\n',
    "reconcilers/drivers/docker/docker.h": '#include "reconcilers/ports/engine.h"\nnamespace oms::drivers::docker {\n',
    "reconcilers/drivers/docker/tar.h": '#include "reconcilers/drivers/files/zip.h"\n',
    "reconcilers/drivers/files/zip.h": "",
    "tests/fakes/fake.h": '#include "reconcilers/drivers/docker/docker.h"\n#include <gmock/gmock.h>\n',
}


class Layers(unittest.TestCase):
    def check(self, changes):
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**TREE, **changes}.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            return layers.check(root)[0]

    def found(self, path, line, part):
        errors = self.check({path: TREE.get(path, "") + line + "\n"})
        self.assertEqual(len(errors), 1, errors)
        self.assertIn(path, errors[0])
        self.assertIn(part, errors[0])

    def test_a_right_tree_passes(self):
        self.assertEqual(self.check({}), [])

    def test_base_sees_nothing_above_it(self):
        self.found("controller/base/result.h", '#include "controller/kube/api_client.h"', "may include only")

    def test_the_runtime_knows_nothing_of_oms(self):
        self.found("controller/runtime/informer.h", '#include "crd/version.h"', "may include only")

    def test_the_resource_sees_only_the_metadata_of_kube(self):
        self.found("crd/version.h", '#include "controller/kube/api_client.h"', "may include only")

    def test_the_upgrade_sees_interfaces_of_kube_and_runtime_only(self):
        self.found("reconcilers/observe/site.h", '#include "controller/kube/rest_client.h"', "may include only")
        self.found("reconcilers/decide/planner.h", '#include "controller/kube/api_client.h"', "may include only")

    def test_a_room_never_looks_back_in_the_story(self):
        self.found("reconcilers/observe/site.h", '#include "reconcilers/steps/state.h"', "may include only")
        self.found("reconcilers/steps/stop.cc", '#include "reconcilers/decide/planner.h"', "may include only")

    def test_steps_never_see_drivers(self):
        self.found("reconcilers/steps/stop.cc", '#include "reconcilers/drivers/docker/docker.h"', "may include only")

    def test_drivers_never_see_the_upgrade(self):
        self.found("reconcilers/drivers/docker/docker.h", '#include "reconcilers/decide/planner.h"', "may include only")

    def test_drivers_see_only_the_drivers_that_they_rest_on(self):
        self.found("reconcilers/drivers/files/zip.h", '#include "reconcilers/drivers/docker/docker.h"', "may include only")

    def test_a_room_has_a_namespace_of_its_own(self):
        self.found("reconcilers/steps/stop.cc", "namespace oms::decide {", "is oms::steps, not oms::decide")
        self.found("reconcilers/drivers/docker/tar.h", "namespace oms::drivers {", "is oms::drivers::docker, not")
        self.assertEqual(self.check({"reconcilers/oms/ha.h": "namespace oms::product {\n"}), [])
        self.assertEqual(self.check({"reconcilers/steps/rows.h": "namespace oms::steps::rows {\n"}), [])

    def test_ports_know_no_driver(self):
        self.found("reconcilers/ports/engine.h", '#include "reconcilers/drivers/docker/tar.h"', "may include only")

    def test_main_is_included_by_nobody(self):
        self.found("reconcilers/decide/planner.h", '#include "controller/cmd/options.h"', "included by nobody")
        self.found("controller/runtime/informer.h", '#include "controller/cmd/options.h"', "included by nobody")

    def test_nothing_sees_tests(self):
        self.found("reconcilers/decide/planner.h", '#include "tests/fakes/fake.h"', "nothing outside of tests/")

    def test_includes_are_written_from_the_root(self):
        self.found("crd/version.h", '#include "meta.h"', "no such file")

    def test_a_library_has_its_one_place(self):
        self.found("controller/kube/api_client.h", "#include <cpprest/json.h>", "only these may")
        self.found("reconcilers/decide/planner.h", "#include <boost/asio.hpp>", "only these may")
        self.found("reconcilers/drivers/docker/docker.h", "  #  include <cppconn/driver.h>", "only these may")

    def test_headers_take_json_fwd_only(self):
        self.found("controller/kube/meta.h", "#include <nlohmann/json.hpp>", "only these may")

    def test_a_new_library_must_be_entered(self):
        self.found("crd/version.h", "#include <folly/String.h>", "does not know")

    def test_a_file_that_says_pure_is(self):
        self.found("reconcilers/steps/state.h", "#include <thread>", "pure")
        self.assertEqual(self.check({"reconcilers/steps/stop.h": "// Not that.\n\n// Pure.\n#include <thread>\n"}), [])
        errors = self.check({"reconcilers/steps/state.cc": "#include <thread>\n"})
        self.assertEqual(len(errors), 1, errors)

    def test_a_pure_file_may_have_paths_and_looks_at_no_file(self):
        self.found("reconcilers/steps/state.h", "bool there = std::filesystem::exists(path);", "no I/O")
        self.assertEqual(
            self.check({"reconcilers/steps/state.h": "// Pure.\n#include <filesystem>\nauto p = fs::path(x);\n"}), [])

    def test_a_look_names_no_writing_half(self):
        self.found("reconcilers/observe/site.h", "std::shared_ptr<ports::ContainerEngine> engine;", "reading half")
        self.found("reconcilers/observe/site.h", "ports::MetaDbs meta;", "reading half")
        self.found("reconcilers/observe/site.h", "kube::ApiClient& api;", "reading half")
        look = "ports::ContainerEngineView* engine;\nports::MetaDbsView meta;\n"
        self.assertEqual(self.check({"reconcilers/observe/site.h": look}), [])
        self.assertEqual(self.check({"reconcilers/act/stop.h": "ports::ContainerEngine& engine;\n"}), [])

    def test_decisions_are_pure(self):
        self.found("reconcilers/decide/planner.h", "#include <fstream>", "pure")
        self.found("reconcilers/decide/planner.h", '#include "controller/base/log.h"', "pure")

    def test_json_is_parsed_in_one_place(self):
        self.found("controller/kube/rest_client.cc", "auto x = json::parse(text);", "base::ParseJson alone")
        self.found("reconcilers/decide/planner.h", "  x = ordered_json::parse (text, nullptr, false);", "ParseJson")
        self.assertEqual(self.check({"tests/fakes/fake.cc": "auto x = json::parse(text);\n"}), [])
        self.assertEqual(self.check({"controller/base/json.cc": "Json x = Json::parse(text);\n"}), [])

    def test_a_cycle_of_headers_is_found(self):
        self.found("controller/base/result.h", '#include "controller/base/result.h"', "include each other")

    def test_a_commented_out_include_is_none(self):
        self.assertEqual(self.check({"crd/version.h": '/*\n#include "tests/x.h"\n*/\n// #include "tests/x.h"\n'}), [])

    def test_an_empty_tree_does_not_pass(self):
        with tempfile.TemporaryDirectory() as root:
            run = subprocess.run(
                [sys.executable, os.path.join(HERE, "layers.py"), "--root", root], capture_output=True, check=False
            )
            self.assertEqual(run.returncode, 1)


class Texts(unittest.TestCase):
    def test_a_page_that_is_not_there_is_not_cited(self):
        pages = ["README.md", "reconcilers/oms/README.md"]
        for text in ("// see oms/README.md", "[here](README.md#a)", "RESTORE.md beside it", "https://example.org/x/y.md"):
            self.assertEqual(texts.cited_and_missing("a.h", text, pages), [], text)
        for text in ("// as " + "design" + ".md has it", "(" + "facts" + ".md section 3)", "other/" + "README.md"):
            self.assertEqual(len(texts.cited_and_missing("a.h", text, pages)), 1, text)

    def test_a_path_of_a_machine_is_found(self):
        for text in ("see /" + "work/x", "/" + "home/joe/x", "/" + "Users/joe/src", "/" + "root/src/oms"):
            self.assertEqual(len(texts.wrong_in("a.md", text)), 1, text)

    def test_a_registry_or_mirror_is_found(self):
        for host in ("goproxy." + "corp.com", "pypi." + "corp.local", "registry." + "internal:5000"):
            self.assertEqual(len(texts.wrong_in("a.sh", "url=https://%s/x" % host)), 1, host)
        self.assertEqual(len(texts.wrong_in("a.sh", "export GO" + "PROXY=http://10.1.2.3:3000")), 1)

    def test_a_private_key_is_found(self):
        self.assertEqual(len(texts.wrong_in("a.txt", "-----BEGIN RSA PRIVATE " + "KEY-----")), 1)

    def test_what_belongs_to_oms_passes(self):
        for text in (
            "sh /root/docker_upgrade.sh", "/home/admin/conf/config.yaml", "/home/ds/run", "registry.example/oms:1",
            "https://kubernetes.default.svc", "http://127.0.0.1:8089/oms/health",
        ):
            self.assertEqual(texts.wrong_in("a.md", text), [], text)

    def test_a_word_that_has_a_plainer_one_is_found_where_users_read(self):
        for path, text in (
            ("README.md", "then it starts " + "anew"), ("crd/omsupgrades.yaml", "description: what shall " + "run"),
            ("reconcilers/steps/ha.cc", 'Failed("see it, then mend " + "it and");'), ("crd/reasons.cc", '"OMS is told"'),
            ("reconcilers/record/manifest.cc", 'R"(Start\nit whoever you are)"'),
        ):
            self.assertEqual(len(texts.not_plain(path, text)), 1, (path, text))

    def test_a_comment_a_name_and_a_test_may_have_such_words(self):
        for path, text in (
            ("reconcilers/steps/ha.cc", "// Begun anew by whoever it is.\nint x = 1;"), ("README.md", "the key `begun`"),
            ("reconcilers/record/manifest.cc", 'At(json, "begun")'), ("tests/unit/a_test.cc", '"it is told anew"'),
            ("README.md", "shallow water"),
        ):
            self.assertEqual(texts.not_plain(path, text), [], text)


class Reasons(unittest.TestCase):
    TREE = {
        "crd/reasons.h": """namespace reason {
inline constexpr char kFull[] = "Full";
inline constexpr char kGone[] = "Gone";
}  // namespace reason
namespace inner_reason {
inline constexpr char kBroken[] = "Broken";
}
""",
        "crd/reasons.cc": """  static const auto& table = *new std::vector<ReasonGroup>{
      {"Of a disk",
       {
           {{kFull}, "no \\"room\\"", "make "
            "room"},
           {{kGone}, "nothing is there", ""},
       }},
  };
  return table;
""",
        "crd/README.md": """# Reasons

%s
### Of a disk

| reason | means | to do |
|---|---|---|
| `Full` | no "room" | make room |
| `Gone` | nothing is there | |

%s
The end.
""" % (reasons.BEGIN, reasons.END),
        "reconcilers/disk.cc": """// "Full" in a comment is nobody's reason.
return MakeError(Code::kTransient, crd::reason::kFull, text);
return MakeError(Code::kNotFound, crd::reason::kGone, crd::inner_reason::kBroken);
""",
    }

    def check(self, path=None, old="", new="", fix=False):
        with tempfile.TemporaryDirectory() as root:
            for name, text in self.TREE.items():
                (Path(root) / name).parent.mkdir(exist_ok=True)
                if name == path:
                    self.assertIn(old, text)
                    text = text.replace(old, new)
                (Path(root) / name).write_text(text, encoding="utf-8")
            wrong, count = reasons.check(Path(root), fix)
            self.page = (Path(root) / "crd/README.md").read_text(encoding="utf-8")
        self.assertEqual(count, self.TREE["crd/reasons.h"].count("[]") - 1 + ("crd/reasons.h" == path))
        return wrong

    def test_a_right_tree_passes(self):
        self.assertEqual(self.check(), [])

    def test_a_reason_that_nobody_explains_is_found(self):
        wrong = self.check("crd/reasons.h", "}  // namespace reason", 'inline constexpr char kNew[] = "New";\n}')
        self.assertTrue(any("kNew is explained 0 times" in line for line in wrong), wrong)

    def test_a_reason_that_nothing_gives_is_found(self):
        self.assertEqual(len(self.check("reconcilers/disk.cc", "crd::reason::kFull", "why")), 1)

    def test_a_reason_as_a_literal_is_found(self):
        for literal in ('MakeError(Code::kTransient, "Sudden", text);', 'if (error.reason == "Gone") {', '{"Full", text};'):
            wrong = self.check("reconcilers/disk.cc", "// ", literal + "  // ")
            self.assertEqual(len(wrong), 1, (literal, wrong))

    def test_a_page_that_says_something_else_is_found_and_made(self):
        self.assertEqual(len(self.check("crd/README.md", "make room", "buy a disk")), 1)
        self.assertEqual(self.check("crd/README.md", "make room", "buy a disk", fix=True), [])
        self.assertEqual(self.page, self.TREE["crd/README.md"])


@unittest.skipUnless(shutil.which("git"), "no git here")
class PreCommit(unittest.TestCase):
    def test_it_looks_at_what_is_staged_and_refuses_what_a_check_refuses(self):
        root = os.path.dirname(os.path.dirname(HERE))
        with tempfile.TemporaryDirectory() as tree:
            def git(*arguments, check=True):
                return subprocess.run(
                    ["git", "-C", tree, "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "core.hooksPath=hack/hooks",
                     *arguments], capture_output=True, text=True, check=check, env=env)

            env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
            for name in ("controller", "crd", "reconcilers"):
                shutil.copytree(os.path.join(root, name), os.path.join(tree, name))
            for name in ("checks", "hooks"):
                shutil.copytree(os.path.join(root, "hack", name), os.path.join(tree, "hack", name),
                                ignore=shutil.ignore_patterns("__pycache__"))
            git("init", "-q")
            git("add", "-A")
            git("commit", "-qm", "all", "--no-verify")
            page = Path(tree) / "reconcilers" / "README.md"
            text = page.read_text(encoding="utf-8")
            page.write_text(text + "\nWrite it " + "anew.\n", encoding="utf-8")
            git("add", "-A")
            page.write_text(text + "\nWrite it again.\n", encoding="utf-8")
            refused = git("commit", "-qm", "staged", check=False)
            self.assertEqual(refused.returncode, 1, refused.stderr)
            self.assertIn("not plain", refused.stderr)
            taken = git("commit", "-qam", "plain", check=False)
            self.assertEqual(taken.returncode, 0, taken.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=1)
