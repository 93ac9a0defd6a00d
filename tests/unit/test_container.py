"""The container: every path and flag that its files name is there. Nothing is built here."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import yaml

from figment.cli._parse import parse
from figment.cli.serve import Serve
from figment.serve import guard
from figment.serve.app import DRAIN_SECONDS

ROOT = Path(__file__).parents[2]
FILE = (ROOT / "Containerfile").read_text("utf-8")
SERVICE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]["figment"]


def lines(word: str) -> list[str]:
    """What follows an instruction of the Containerfile, each time that it stands there."""
    return re.findall(rf"^\s*{word} (.*)$", FILE, re.MULTILINE)


def started(folder: Path, *words: str, **environment: str) -> Serve:
    """What `figment serve` is told when the container starts, by a shell that finds another `figment`."""
    stub = folder / "figment"
    stub.write_text('#!/bin/sh\nshift\nfor word in "$@"; do printf "%s\\0" "$word"; done\n')
    stub.chmod(0o755)
    entry = [*json.loads(lines("ENTRYPOINT")[0]), *words]
    env = {"PATH": f"{folder}:{os.environ['PATH']}", **environment}
    told = subprocess.run(entry, env=env, check=True, capture_output=True, text=True).stdout
    return parse(Serve, told.split("\0")[:-1], verb="serve", about="")


def test_it_starts_with_flags_that_exist_and_the_token_of_its_environment(tmp_path):
    args = started(tmp_path, *SERVICE["command"], FIGMENT_TOKEN="a token with $signs")
    assert args == Serve(runs=(Path("/models/run"),), host="0.0.0.0", token="a token with $signs", state=Path("/state"))
    data = started(tmp_path, "/models/run", "--data", "/data/pets", FIGMENT_TOKEN="x").data
    assert data == (Path("/data/pets"),)
    assert started(tmp_path, "/models/run").token == ""  # which figment refuses, in public


def test_what_is_copied_is_there_and_what_is_installed_is_pinned():
    for line in lines("COPY"):
        if not line.startswith("--from"):
            assert all((ROOT / name).exists() for name in line.split()[:-1]), line
    assert "torch==2.13.0" in FILE and "torch==2.13.0" in (ROOT / "constraints.txt").read_text()
    assert '".[serve]"' in FILE and lines("CMD")[-1] == json.dumps(SERVICE["command"])


def test_it_is_nobody_in_a_system_that_cannot_be_written_to():
    assert lines("USER") == ["10001"] and "--uid 10001" in FILE
    assert SERVICE["read_only"] and SERVICE["cap_drop"] == ["ALL"] and SERVICE["tmpfs"] == ["/tmp"]
    places = [volume.rpartition("}")[2].split(":") for volume in SERVICE["volumes"]]
    assert ["", SERVICE["command"][0], "ro"] in places and ["state", lines("VOLUME")[0]] in places


def test_its_health_is_asked_for_where_everyone_may_ask():
    asked = json.loads(lines("CMD")[0])
    assert SERVICE["healthcheck"]["test"] == ["CMD", *asked]
    (address,) = re.findall(r"http://127.0.0.1:(\d+)(/\w+)", asked[-1])
    assert address == (lines("EXPOSE")[0], "/health") and "/health" in guard._OPEN
    compile(asked[-1], "healthcheck", "exec")
    assert any(port.endswith(f":{address[0]}") for port in SERVICE["ports"])


def test_the_compose_file_names_what_exists():
    whole = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    assert (ROOT / SERVICE["build"]["context"] / SERVICE["build"]["dockerfile"]).exists()
    assert whole["secrets"].keys() == set(SERVICE["secrets"]) and "state" in whole["volumes"]
    assert "/run/secrets/figment_token" in FILE and shlex.split(lines("STOPSIGNAL")[0]) == ["SIGTERM"]
    assert int(SERVICE["stop_grace_period"].rstrip("s")) > DRAIN_SECONDS
