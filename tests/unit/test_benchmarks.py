# SPDX-License-Identifier: Apache-2.0
"""The reckoning of benchmarks/: ratios, tables, the report of a sink, the command line's words."""

from __future__ import annotations

import json
import hashlib
import importlib
from typing import Any
from pathlib import Path

import pytest

from benchmarks import docs, results
from benchmarks.cli import make_plan, make_parser, told_command, memory_folder
from benchmarks.peers import NAMES, parse_options, parse_contender
from benchmarks.report import parse_report, describe_part_sizes
from benchmarks.tables import align, render
from benchmarks.figures import cpu, make_rows, group_runs, paired_ratio
from benchmarks.pystore import Part, Store, RefusedError
from benchmarks.client.job import MIB, READING, Job
from benchmarks.client.sources import Source, IteratorFile, lines, chunks, base_buffer
from benchmarks.contenders.ours import WATCH, bare
from libcloud_s3mpu.protocol.options import UploadOptions


def run(contender: str, round_number: int, seconds: float, **more: Any) -> dict[str, Any]:
    return {
        "contender": contender,
        "workload": "gen64k",
        "scheme": "http",
        "emulate": False,
        "verify": False,
        "size": 1024 * MIB,
        "object_count": 1,
        "round": round_number,
        "engine": "C",
        "cpu_seconds": seconds,
        "user_seconds": seconds,
        "system_seconds": 0.0,
        "wall_seconds": 2 * seconds,
        "setup_cpu_seconds": 0.1,
        "peak_mib": 50.0,
        "base_mib": 30.0,
        "tail_seconds": None,
        "sink_cpu_seconds": 0.1,
        "requests": 130,
        "connections": 1,
        "in_flight_peak": 1,
        "parts": 128,
        "part_sizes": [[8 * MIB, 128]],
        **more,
    }


RUNS = [
    run("ours", 0, 1.0),
    run("libcloud", 0, 4.0),
    run("floor", 0, 0.5),
    run("libcloud", 1, 40.0),  # the machine was busy in this round, for all of them
    run("floor", 1, 5.0),
    run("ours", 1, 10.0),
    run("floor", 2, 1.0),
    run("ours", 2, 1.0),
    run("libcloud", 2, 6.0),
]
REPORT: dict[str, Any] = {
    "cpu_seconds": 0.25,
    "requests": 11,
    "connections": 3,
    "connections_peak": 2,
    "in_flight_peak": 2,
    "part_requests": 10,
    "parts_stored": 9,
    "object_count": 1,
    "object_bytes": 45_000_000,
    "bytes_on_wire": 50_000_000,
    "digest_errors": 0,
    "bad_requests": 0,
    "expect_100": 0,
    "aws_chunked": 0,
    "aborts": 0,
    "get_requests": 0,
    "list_requests": 0,
    "bytes_sent": 0,
    "objects": [
        {"path": "/bench/a", "size": 7, "parts": 0, "sha256": "", "part_sizes": []},
        {"path": "/bench/b", "size": 90, "parts": 9, "sha256": "ab", "part_sizes": [[10, 9]]},
    ],
}


# ---------------------------------------------------------------- ratios
def test_a_ratio_is_the_median_of_ratios_inside_rounds() -> None:
    ours, libcloud = ([r for r in RUNS if r["contender"] == c] for c in ("ours", "libcloud"))
    assert paired_ratio(libcloud, ours, cpu) == 4.0  # 4, 4, 6; of medians it would be 6


def test_rounds_that_one_side_lost_do_not_count() -> None:
    ours = [run("ours", 0, 1.0), {"round": 1, "error": "exit 1"}]
    peer = [run("peer", 1, 9.0), run("peer", 0, 3.0)]
    assert paired_ratio(peer, ours, cpu) == 3.0
    assert paired_ratio(peer, [], cpu) is None


def test_rows_compare_with_ours_and_with_the_floor() -> None:
    (group,) = group_runs(RUNS)
    rows = {row.contender: row for row in make_rows(group)}
    assert rows["ours"].cpu_ratio == 1.0
    assert rows["ours"].cpu_floor_ratio == 2.0
    assert rows["libcloud"].cpu_floor_ratio == 8.0
    assert rows["libcloud"].cpu_per_unit == 6.0
    assert rows["ours"].over_base_mib == 20.0


def test_without_ours_the_first_uploading_contender_is_compared_with() -> None:
    (group,) = group_runs([run("null", 0, 0.1, requests=0), *RUNS[1:3]])
    assert group.baseline == "libcloud"


def test_runs_of_different_servers_are_never_compared() -> None:
    assert len(group_runs([*RUNS, run("ours", 0, 1.0, emulate=True)])) == 2


# ---------------------------------------------------------------- tables
def test_columns_are_aligned_and_markdown() -> None:
    text = align(["name", "x"], [["a", "1.00"], ["longer", "2"]])
    assert text.splitlines() == [
        "| name   |    x |",
        "|--------|-----:|",
        "| a      | 1.00 |",
        "| longer |    2 |",
    ]


def test_a_table_names_what_it_holds_and_what_is_missing() -> None:
    failed = {**run("minio", 0, 1.0), "error": "exit 1: no such thing"}
    text = render(group_runs([*RUNS, failed])[0])
    assert text.startswith("### gen64k, http, 1024 MiB; medians of 3")
    assert "CPU vs ours" in text and "CPU vs floor" in text
    assert "- minio: exit 1: no such thing" in text
    row = next(line for line in text.splitlines() if line.startswith("| libcloud"))
    assert "4.00x" in row and "8.00x" in row


def test_small_objects_are_told_per_object() -> None:
    small = run("ours", 0, 0.05, workload="small", object_count=500, size=500 * 4096, requests=501)
    text = render(group_runs([small])[0])
    assert "500 x 4096 B" in text
    assert "|           100 |" in text  # 0.05 s over 500 objects, in us


def test_listings_are_told_per_key_and_downloads_by_their_requests() -> None:
    listed = run("ours", 0, 0.8, workload="list", object_count=100_000, size=0)
    text = render(group_runs([listed])[0])
    assert text.startswith("### list, http, 100000 keys;")
    assert "|        8.0 |" in text  # 0.8 s over 100,000 keys, in us
    header = render(group_runs([run("ours", 0, 0.3, workload="download")])[0]).splitlines()[2]
    assert "requests" in header and "part" not in header


def test_only_a_floor_that_ran_is_compared_with() -> None:
    runs = [run("ours", 0, 1.0), {**run("floor", 0, 1.0), "error": "skipped: cannot"}]
    assert "CPU vs floor" not in render(group_runs(runs)[0])


def test_a_python_sink_is_said() -> None:
    text = render(group_runs([run("ours", 0, 1.0, engine="Python (no C compiler)")])[0])
    assert "Python (no C compiler) sink" in text.splitlines()[0]


# ---------------------------------------------------------------- the sink's report
def test_a_report_is_parsed() -> None:
    report = parse_report(json.dumps(REPORT))
    assert report.parts_resent == 1
    assert report.largest is not None and report.largest.path == "/bench/b"
    assert report.largest.part_sizes == ((10, 9),)


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"objects": []}', "no sink at all"])
def test_anything_else_is_no_report(line: str) -> None:
    with pytest.raises(ValueError, match="not a report"):
        parse_report(line)


def test_part_sizes_show_growth_and_leave_the_last_part_out() -> None:
    assert describe_part_sizes(()) == "-"
    assert describe_part_sizes(((8 * MIB, 12), (3 * MIB, 1))) == "8"
    assert describe_part_sizes(((5 * MIB, 2), (10 * MIB, 4), (MIB, 1))) == "5>10"


def test_the_python_store_reports_in_the_same_form() -> None:
    store = Store(verify=True)
    upload_id = store.begin("/bench/big")
    etag = hashlib.md5(b"whole", usedforsecurity=False).hexdigest()
    store.put_part(upload_id, 1, Part(5, etag, b"whole"))
    xml = f"<Part><ETag>&quot;{etag}&quot;</ETag><PartNumber>1</PartNumber></Part>"
    assert store.complete(upload_id, xml).endswith("-1")
    report = parse_report(store.report())
    assert report.largest is not None
    assert report.largest.sha256 == hashlib.sha256(b"whole").hexdigest()


def test_the_python_store_refuses_parts_it_does_not_have() -> None:
    store = Store(verify=False)
    upload_id = store.begin("/bench/big")
    xml = f"<Part><PartNumber>1</PartNumber><ETag>{'0' * 32}</ETag></Part>"
    with pytest.raises(RefusedError, match="InvalidPart"):
        store.complete(upload_id, xml)


# ---------------------------------------------------------------- sources
def test_a_source_is_as_long_as_asked_and_the_same_each_time() -> None:
    base = base_buffer()
    for workload in ("gen64k", "gen1m", "lines48"):
        job = Job(module="", workload=workload, size=2 * MIB + 77)
        first, second = (b"".join(Source(job, base).blocks()) for _ in range(2))
        assert len(first) == job.size and first == second


def test_lines_are_48_bytes_but_the_last() -> None:
    sizes = [len(line) for line in lines(100_000, base_buffer())]
    assert set(sizes[:-1]) == {48} and sum(sizes) == 100_000


def test_the_file_around_a_generator_loses_nothing() -> None:
    base = base_buffer()
    whole = b"".join(chunks(300_000, 1000, base))
    file = IteratorFile(chunks(300_000, 1000, base))
    assert b"".join(iter(lambda: file.read(777), b"")) == whole
    assert file.tell() == len(whole)


# ---------------------------------------------------------------- words
def test_a_job_survives_the_environment() -> None:
    job = Job(module="floor", workload="file", options={"part": "8"}, packages=("boto3",))
    assert Job.from_text(job.to_text()) == job


def test_contenders_are_read_with_their_options() -> None:
    assert parse_options("off+part=8") == {"off": "1", "part": "8"}
    assert parse_contender("obstore-unsigned:part=8").options == {"sign": "0", "part": "8"}
    with pytest.raises(ValueError, match="unknown contender"):
        parse_contender("nobody")


def test_quick_has_an_end_and_gives_way_to_what_is_asked() -> None:
    plan = make_plan(make_parser().parse_args(["--quick", "--pairs", "1"]))
    assert plan.time_left() < 120
    assert plan.pairs == 1
    assert plan.contenders[0].spec == "ours"


def test_readers_are_measured_where_only_reading_is() -> None:
    plan = make_plan(make_parser().parse_args(["--workload", "reading"]))
    assert plan.workloads == READING
    assert "requests" in [contender.name for contender in plan.contenders]
    assert plan.count_of("list") == 100_000 and plan.count_of("read") == 1
    both = make_plan(make_parser().parse_args(["--workload", "gen64k,read"]))
    assert "requests" not in [contender.name for contender in both.contenders]


def test_a_contender_says_which_kind_it_is_not_driven_for() -> None:
    told = parse_contender("requests").reason_to_skip("gen64k", "http")
    assert told is not None and "reading" in told
    told = parse_contender("s3fs").reason_to_skip("list", "http")
    assert told is not None and "list" in told
    assert parse_contender("boto3").reason_to_skip("list", "http") is None


@pytest.mark.parametrize("name", [name for name in NAMES if parse_contender(name).reads])
def test_what_a_contender_reads_its_module_has(name: str) -> None:
    contender = parse_contender(name)
    module = importlib.import_module(f"benchmarks.contenders.{contender.module}")
    needed = {"download": "download", "read": "read", "list": "names"}
    assert all(hasattr(module, needed[workload]) for workload in contender.reads)


def test_downloads_go_to_memory_only_where_they_fit() -> None:
    assert memory_folder(1 << 60) is None


def test_the_cost_of_reliability_is_a_pair_with_and_without_it() -> None:
    plan = make_plan(make_parser().parse_args(["--quick", "--reliability", "--mib", "64"]))
    specs = [contender.spec for contender in plan.contenders]
    assert specs == ["ours:off", "ours:off+bare", "ours", "ours:bare"]
    assert plan.size == 64 << 20 and plan.deadline < float("inf")
    off = bare()
    assert off["retry"].max_attempts == 1
    options = UploadOptions(**off)  # What watches, in this version, can be switched off.
    watched = {name for name in WATCH if hasattr(options, name)}
    assert set(off) == {"retry"} | watched


def test_the_command_that_is_kept_names_no_place_on_this_machine() -> None:
    given = ["--mib", "64", "--json", "somewhere.json", "--python=some/python", "--update-docs"]
    given += ["--target", "somewhere"]
    assert told_command(given) == "python -m benchmarks --mib 64"


# ---------------------------------------------------------------- files
def test_a_results_file_grows_and_the_last_call_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    results.add(path, results.make_call("first", [run("ours", 0, 9.0)]))
    calls = results.add(path, results.make_call("second", [run("ours", 0, 1.0)]))
    (group,) = results.latest_groups(calls)
    assert len(results.load(path)) == 2
    assert group.runs[0]["cpu_seconds"] == 1.0


def test_only_the_measured_section_of_the_page_is_rewritten(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "benchmarks.md"
    calls = [results.make_call("python -m benchmarks", RUNS)]
    docs.update(page, calls)
    page.write_text(page.read_text() + "\nwritten by hand\n")
    docs.update(page, calls)
    text = page.read_text()
    assert text.count(docs.BEGIN) == text.count(docs.END) == 1
    assert text.count("### gen64k") == 1
    assert text.endswith("written by hand\n")


def test_uploads_and_reading_stand_under_headings_of_their_own(tmp_path: Path) -> None:
    runs = [run("ours", 0, 1.0, workload="read"), *RUNS]
    text = docs.section([results.make_call("python -m benchmarks", runs)])
    places = [text.index(words) for words in ("## Uploads", "### gen64k", "## Down", "### read")]
    assert places == sorted(places)


def test_broken_markers_are_not_guessed_at() -> None:
    with pytest.raises(ValueError, match="markers"):
        docs.replace_section(f"{docs.END} {docs.BEGIN}", "new")


def test_the_contender_ours_gets_what_this_project_depends_on() -> None:
    from benchmarks.venvs import own_dependencies

    names = {line.split(">")[0] for line in own_dependencies()}
    assert names == {"apache-libcloud", "requests", "lxml"}
