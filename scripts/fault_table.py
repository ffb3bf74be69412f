#!/usr/bin/env python3
"""The table "fault, test, figure" of docs/reliability.md, made by running the tests.

Usage: fault_table.py ROOT --write TESTS_DIR    run every test that the table names (minutes) and write the table anew
       fault_table.py ROOT --check              exit 1 where the page lacks a fault, or a test that it names is in no source
"""

import re
import subprocess
import sys
from pathlib import Path

BEGIN, END = "<!-- table of faults: begin -->", "<!-- table of faults: end -->"

# Fault; what must happen; tests as program:Suite.Name; what one of them prints about it (a pattern with one group), if anything.
FAULTS = [
    ("coordinator killed with SIGKILL, at every edge of durability and at random instants",
     "what was answered is neither lost nor doubled",
     ["coordinator_crash_test:CrashTest.NothingAnsweredIsLostOrDoubled"],
     r"(\d+ operations of .*)"),
    ("coordinator killed in the middle of a job", "training keeps stepping, no rank restarts, no event is lost or doubled",
     ["cluster_test:ClusterTest.KillingTheCoordinatorStopsNothingLosesNothingDoublesNothing",
      "real_trainer_test:RealTrainerTest.KillingTheCoordinatorRestartsNoRank"], None),
    ("request applied, answer lost", "the repeat has the first answer, also after a restart or when the job was deleted",
     ["coordinator_service_test:JobServiceTest.ARequestIdMakesARepeatReturnTheFirstAnswer",
      "coordinator_state_transcript_test:Files/TranscriptTest.SaysWhatItSaid/request_ids",
      "coordinator_state_transcript_test:Files/TranscriptTest.SaysWhatItSaid/delete"], None),
    ("coordinator stopped for a while (SIGSTOP)", "nobody is lost for it",
     ["coordinator_engine_test:EngineTest.APauseOfTheCoordinatorItselfLosesNobody"], None),
    ("worker daemon killed", "its trainer dies with it, the gang is formed anew",
     ["cluster_test:ClusterTest.AKilledWorkerIsReplacedByAnother", "process_test:ParentTest.ChildDiesWithItsParent"], None),
    ("worker silent", "lost after its lease", ["coordinator_engine_test:EngineTest.ASilentWorkerIsLostAfterItsLease"], None),
    ("trainer killed, at random steps", "goes on from the last checkpoint, and no bit of the weights differs",
     ["kills_test:KillsTest.KilledRanksChangeNoBitOfTheWeights"], r"(\d+ kills up to .*)"),
    ("trainer stopped (SIGSTOP)", "named with its section and killed; the job goes on",
     ["hang_test:HangTest.AStoppedRankIsNamedAndTheJobGoesOn"], r"(seen .*? after SIGSTOP)"),
    ("ranks that hang otherwise", "whoever the others wait for is named; slow is not hung",
     ["coordinator_state_test:HangTest.*", "coordinator_state_transcript_test:Files/TranscriptTest.SaysWhatItSaid/hang"], None),
    ("exit codes and signals of a trainer", "classified, with a hint; retried or failed by class",
     ["agent_test:AgentTest.ExitsAreTyped", "coordinator_state_transcript_test:Files/TranscriptTest.SaysWhatItSaid/trainer_failures"], None),
    ("several ranks fail", "the first to fail is named",
     ["coordinator_state_transcript_test:Files/TranscriptTest.SaysWhatItSaid/first_failing_rank_is_named"], None),
    ("no space, I/O error, torn write, lost power, at every operation of a save", "no checkpoint loads wrongly, no older one is lost",
     ["checkpoint_crash_test:*"], r"(\d+ (?:crash )?points.*)"),
    ("checkpoint damaged: a bit, a truncation, a file gone", "found; the one before is used, and said",
     ["damaged_checkpoint_test:DamagedCheckpointTest.*", "checkpoint_files_test:CheckpointTest.FlippedBitsAreFoundAndNamed",
      "checkpoint_files_test:CheckpointTest.TornAndMissingFilesAreNamed"], None),
    ("a checkpoint can't be published, and the order comes twice", "it stays unpublished, whatever room there is by then",
     ["agent_test:AgentTest.AFailedPublicationIsTyped", "agent_files_test:PublisherTest.AFailedOrderIsFailedForItsGeneration"], None),
    ("disk of the journal full", "reads are served, writes refused; no crash",
     ["coordinator_engine_test:EngineTest.AFullJournalRefusesWritesAndServesReads",
      "coordinator_journal_test:JournalTest.AFullDiskIsSaidAndSurvived"], None),
    ("journal damaged", "found at the start, refused with a way to repair it",
     ["coordinator_program_test:Program.ADamagedJournalStopsItWithAHint",
      "coordinator_journal_test:JournalTest.AFlippedBitInARecordIsFoundAtReplay"], None),
    ("two daemons with one worker id; stale generations", "the newest incarnation wins, the old generation is refused",
     ["coordinator_service_test:SessionTest.TheNewestIncarnationWins", "coordinator_service_test:SessionTest.AStaleGenerationIsToldToStop"],
     None),
    ("slow reader of a stream", "disconnected with where to resume; progress coalesces",
     ["coordinator_service_test:SlowReader.IsDisconnectedWithWhereToResume"], None),
    ("bad YAML: alias bomb, cycle, depth, 10 MB", "refused with line and column, quickly",
     ["config_test:All/HostileYaml.*", "config_test:*JobYamlErrors*"], None),
    ("bad CSV: NUL, UTF-8, ragged, duplicate header, bomb", "an error with its row",
     ["data_test:CsvParser.*", "data_test:HostileCsv.*", "data_test:Decompressor.*"], None),
    ("message too large, malformed protobuf", "refused; others are served",
     ["rpc_test:Server.RefusesWhatIsLargerThanTheReceiveLimit", "channel_test:ChannelTest.OversizeAndGarbageAreDataLoss"], None),
    ("loss or gradients not finite", "the step is skipped on all ranks, said, and after several in a row a typed failure",
     ["train_test:Bf16Test.AnInfinityOnOneRankSkipsTheStepOnAllRuleW5"], None),
    ("all of it at once, in virtual time", "every promise of the simulator holds",
     ["coordinator_simulator_test:Simulator.*", "coordinator_simulator_test:PlantedFaults.*"], r"(\d+ seeds from .*)"),
]

TEST = re.compile(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", re.MULTILINE)


def sources_tests(root):
    found = set()
    for file in (root / "tests").rglob("*.cc"):
        found |= {f"{suite}.{name}" for suite, name in TEST.findall(file.read_text(errors="replace"))}
    return found


def in_sources(pattern, known):
    """`pattern`: of --gtest_filter, with the instance of a parametrised test before a slash and its parameter behind one."""
    name = re.sub(r"^\w+/", "", pattern)
    name = re.sub(r"(\.\w+)/\w+$", r"\1", name)
    wanted = re.compile(re.escape(name).replace(r"\*", ".*") + "$")
    return any(wanted.match(test) for test in known)


def row(fault, expected, tests, result, figure):
    names = "<br>".join(f"`{test}`" for test in tests)
    return f"| {fault} | {expected} | {names} | {result}{'; ' + figure if figure else ''} |"


def run(tests_dir, test):
    program, pattern = test.split(":", 1)
    done = subprocess.run([str(tests_dir / program), f"--gtest_filter={pattern}"], capture_output=True, text=True)
    ran = re.search(r"\[==========\] (\d+) tests? from .* ran", done.stdout)
    count = int(ran.group(1)) if ran else 0
    if done.returncode != 0 or count == 0:
        sys.exit(f"error: {test}: {'no such test' if count == 0 else 'failed'}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return count, done.stdout


def write(root, tests_dir):
    lines = ["| fault | what must happen | tests | result |", "|---|---|---|---|"]
    for fault, expected, tests, figure in FAULTS:
        total, said = 0, ""
        for test in tests:
            count, output = run(tests_dir, test)
            total += count
            found = re.search(figure, output) if figure else None
            said = said or (found.group(1).strip().replace("|", "\\|") if found else "")
        if figure and not said:
            sys.exit(f"error: {tests[0]} printed no figure ({figure})")
        lines.append(row(fault, expected, tests, f"{total} passed", said))
        print(lines[-1], flush=True)
    page = root / "docs/reliability.md"
    text = page.read_text()
    before, rest = text.split(BEGIN)
    page.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.split(END)[1])


def check(root):
    text = (root / "docs/reliability.md").read_text()
    known = sources_tests(root)
    wrong = []
    for fault, expected, tests, _ in FAULTS:
        if f"| {fault} | {expected} | {'<br>'.join(f'`{test}`' for test in tests)} |" not in text:
            wrong.append(f"docs/reliability.md lacks the row of '{fault}': run scripts/fault_table.py . --write build/tests")
        wrong += [f"'{fault}' names {test}, which is in no source" for test in tests if not in_sources(test.split(":", 1)[1], known)]
    print("\n".join(wrong) or "every fault has its row, and every row its tests")
    return 1 if wrong else 0


def main():
    if len(sys.argv) == 4 and sys.argv[2] == "--write":
        write(Path(sys.argv[1]), Path(sys.argv[3]))
    elif len(sys.argv) == 3 and sys.argv[2] == "--check":
        sys.exit(check(Path(sys.argv[1])))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
