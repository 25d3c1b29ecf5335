"""`phb-fhir serve`, as a person runs it: real processes, real sockets, a real MongoDB, and signals at bad moments."""

from __future__ import annotations

import contextlib
import json
import math
import multiprocessing
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from pymongo import MongoClient

from phb_fhir.cli.serve import WORKER_SILENT_MAX_S, Pulse, config_of
from phb_fhir.cli.welcome import curl_lines
from phb_fhir.settings import PREFIX, Settings
from tests.processes import children, is_running, until

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_S = 60.0
FHIR = {"Content-Type": "application/fhir+json"}
PATIENT = {"resourceType": "Patient", "active": True}
ROOT = Path(__file__).parents[2]


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "phb_fhir.cli.main", *words]


def environment(**settings: str) -> dict[str, str]:
    """This process's environment without its settings, with these; wide enough that no help text is wrapped."""
    bare = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
    return {**bare, "NO_COLOR": "1", "COLUMNS": "200", **settings}


def words_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


@dataclass
class Server:
    """A running server: its process, the base URL it printed, and the rest of what it printed with it."""

    process: subprocess.Popen[str]
    url: str
    welcome: str

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}/{path}", timeout=WAIT_S)

    def post(self, resource: dict[str, object]) -> httpx.Response:
        where = f"{self.url}/{resource['resourceType']}"
        return httpx.post(where, content=json.dumps(resource), headers=FHIR, timeout=WAIT_S)

    @property
    def origin(self) -> str:
        return self.url.removesuffix("/fhir")

    @property
    def mongods(self) -> list[int]:
        return [pid for pid in sorted(children(self.process.pid)) if "--dbpath" in words_of(pid)]

    @property
    def workers(self) -> list[int]:
        return [pid for pid in sorted(children(self.process.pid)) if "spawn_main" in words_of(pid)]

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


@contextlib.contextmanager
def serving(*flags: str, **settings: str) -> Iterator[Server]:
    """A server on a free port, once it has said where it is."""
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            command("serve", "--open", "--port", "0", *flags),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment(**settings),
        ) as process,
    ):
        try:
            yield _when_up(process)
        except BaseException:
            log.seek(0)
            print(log.read())  # pytest shows it with the failure
            raise
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(WAIT_S)


def _when_up(process: subprocess.Popen[str]) -> Server:
    assert process.stdout is not None
    welcome = ""
    for line in process.stdout:
        welcome += line
        if "Ctrl-C" in line:
            break
    found = re.search(r"FHIR R4 API at (\S+)", welcome)
    assert found, f"the server ended without saying where it is: {welcome}"
    return Server(process, found[1], welcome)


def refused(*words: str, **settings: str) -> str:
    """The one sentence with which the command refuses."""
    done = subprocess.run(
        command(*words), capture_output=True, text=True, env=environment(**settings), timeout=WAIT_S, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("phb-fhir: ")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("phb-fhir: ").rstrip("\n")


# --- what a person sees ---


def test_the_first_start_loads_the_examples_and_the_printed_purchase_is_recorded_and_found_by_the_second_start(
    tmp_path: Path,
) -> None:
    with serving("--demo", "--data", str(tmp_path)) as first:
        lines = [shlex.split(line) for line in first.welcome.splitlines() if line.strip().startswith("curl ")]
        read, search, buy = lines
        budget = httpx.get(read[1])
        assert budget.json()["id"] == "jill-budget"
        assert len(httpx.get(search[1]).json()["entry"]) == 1
        body = Path(buy[buy.index("-d") + 1].removeprefix("@"))
        bought = httpx.post(buy[3], content=body.read_bytes(), headers=FHIR)
        assert bought.status_code == 201
        gone = httpx.delete(f"{first.url}/Communication/{_a_letter(first)}")
        assert gone.status_code in (200, 204)
        assert first.stop() == 0
    with serving("--demo", "--data", str(tmp_path)) as second:
        assert second.get(bought.headers["location"].split("/fhir/")[1]).content == bought.content
        # neither were the examples loaded again, nor did what was deleted come back
        assert second.get("Account/jill-budget").headers["etag"] == budget.headers["etag"]
        assert second.get(gone.request.url.path.removeprefix("/fhir/")).status_code == 410


def _a_letter(server: Server) -> str:
    bundle = server.get("Communication?_count=1").json()
    return str(bundle["entry"][0]["resource"]["id"])


def test_the_printed_purchase_names_a_file_that_curl_finds_from_any_folder() -> None:
    buy = shlex.split(curl_lines("http://127.0.0.1:8000/fhir", demo=True)[2])
    assert buy[:4] == ["curl", "-X", "POST", "http://127.0.0.1:8000/fhir/ChargeItem"]
    named = Path(buy[-1].removeprefix("@"))
    assert named.is_absolute()
    assert json.loads(named.read_bytes())["resourceType"] == "ChargeItem"


def test_help_explains_every_option_of_serve() -> None:
    shown = subprocess.run(command("serve", "--help"), capture_output=True, text=True, env=environment(), check=True)
    for option in ("--host", "--port", "--data", "--workers", "--mongodb-uri", "--demo", "--open", "--trust-local-key"):
        assert re.search(rf"{option}\b.* [A-Z][a-z]+", shown.stdout), option
    assert "Serve the FHIR API, under /fhir." in shown.stdout


def test_the_memory_of_an_idle_server_stays_under_150_mb(tmp_path: Path) -> None:
    with serving("--demo", "--data", str(tmp_path)) as server:
        assert server.get("Patient").status_code == 200
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        resident = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert resident is not None
        assert int(resident[1]) < 150_000


# --- what it refuses ---


def test_a_server_that_nobody_could_come_into_is_refused_naming_the_ways_in() -> None:
    assert refused("serve") == (
        "Nobody could come in: this server takes the tokens of no issuer (PHB_ISSUERS) and none of this machine's own "
        "(--trust-local-key). To serve everybody who is at this machine, without asking who they are, add --open."
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_open_on_an_address_others_can_reach_is_refused(host: str) -> None:
    assert refused("serve", "--open", "--host", host) == (
        f"--open serves without authentication, so it listens on a loopback address alone, and {host} is none: "
        "leave out --host, or give 127.0.0.1."
    )


def test_a_taken_port_is_refused_naming_it(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        sentence = refused("serve", "--open", "--port", str(port), "--data", str(tmp_path / "data"))
    assert sentence == (
        f"Port {port} on 127.0.0.1 is taken by another program: stop that one, or choose another with --port."
    )
    assert not (tmp_path / "data").exists()


def test_a_wrong_setting_is_refused_naming_it() -> None:
    assert refused("serve", "--open", PHB_PAGE_SIZE_MAX="many").startswith(
        "The setting page_size_max (PHB_PAGE_SIZE_MAX) is not right: "
    )
    assert refused("serve", "--open", "--workers", "0").startswith("The setting workers (PHB_WORKERS) is not right: ")
    assert refused("serve", "--open", "--data", "").startswith("The setting data (PHB_DATA) is not right: ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["serve", "--bogus"], r"No such option: --bogus.*\. See \S.* serve --help\."),
        (["serve", "--port", "many"], r"Invalid value for '--port': .*\. See \S.* serve --help\."),
        (["serve", "--port"], r"Option '--port' requires an argument\."),
        (["serve", "beside"], r"Got unexpected extra argument.* \(beside\)\. See \S.* serve --help\."),
        (["serv"], r"No such command 'serv'\. Did you mean 'serve'\? See \S.* --help\."),
        (["audit", "verify", "--from", "0"], r"Invalid value for '--from': .*\. See \S.* audit verify --help\."),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_a_wrong_word_on_the_command_line_is_refused_in_one_line(words: list[str], sentence: str) -> None:
    assert re.fullmatch(sentence, refused(*words))


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ([], {"PHB_LOG_FORMAT": "{}"}),
        ([], {"PHB_OPERATORS": "10.0.0.0/8,{}"}),
        ([], {"PHB_VALIDATION_MODES": "Patient={}"}),
        ([], {"PHB_{}": "1"}),
        (["--host", "{}"], {}),
        (["--data", "{}"], {}),
        (["--{}"], {}),
    ],
    ids=str,
)
@pytest.mark.parametrize("long", ["x" * 100_000, "x y\n" * 25_000], ids=["a word", "lines"])
def test_what_is_wrong_and_long_is_not_repeated_whole(words: list[str], settings: dict[str, str], long: str) -> None:
    given = {name.format(long): value.format(long) for name, value in settings.items()}
    sentence = refused("serve", "--open", "--port", "0", *(word.format(long) for word in words), **given)
    assert len(sentence) < 4_000
    assert "…" in sentence


@pytest.mark.parametrize("words", [[], ["audit"]], ids=["nothing", "half a command"])
def test_where_a_command_lacks_the_help_is_shown_and_nothing_is_done(words: list[str]) -> None:
    ran = subprocess.run(command(*words), capture_output=True, text=True, env=environment(), check=False)
    assert (ran.returncode, "Commands" in ran.stdout, ran.stderr) == (2, True, "")


def test_an_unreachable_mongodb_is_refused_naming_it(tmp_path: Path) -> None:
    sentence = refused(
        "serve", "--open", "--port", "0", "--mongodb-uri", "mongodb://127.0.0.1:1/", PHB_MONGODB_START_TIMEOUT_S="1"
    )
    assert sentence.startswith("No MongoDB answered at 127.0.0.1:1 within 1 seconds: ")


def test_a_data_folder_in_use_is_refused_naming_the_server_that_has_it(tmp_path: Path) -> None:
    with serving("--data", str(tmp_path)) as server:
        sentence = refused("serve", "--open", "--port", "0", "--data", str(tmp_path))
        assert sentence.startswith(
            f"The data folder {tmp_path} is in use by another running server (process {server.process.pid}): "
        )
        assert server.get("metadata").status_code == 200


def test_a_first_start_without_room_for_a_database_is_refused_and_a_later_one_is_not(tmp_path: Path) -> None:
    words = ("serve", "--open", "--port", "0", "--data", str(tmp_path))
    sentence = refused(*words, PHB_DISK_FREE_MB_MIN="1000000000")
    assert re.fullmatch(
        rf"The disk of {tmp_path} has \d+ MB left, and a new database wants 1000000330, of which PHB_DISK_FREE_MB_MIN stay free: .*",
        sentence,
    )
    assert not list((tmp_path / "mongo").iterdir())
    with serving("--data", str(tmp_path)):
        pass
    with serving("--data", str(tmp_path), PHB_DISK_FREE_MB_MIN="1000000000") as server:
        assert server.get("metadata").status_code == 200


# --- an existing MongoDB ---


def test_an_existing_replica_set_is_used_in_place_of_a_private_one(
    mongodb_uri: str, database_name: str, tmp_path: Path
) -> None:
    settings = {"PHB_MONGODB_URI": mongodb_uri, "PHB_MONGODB_DATABASE": database_name}
    with serving("--data", str(tmp_path / "data"), **settings) as server:
        assert server.post(PATIENT).status_code == 201
        assert server.mongods == []
    assert not (tmp_path / "data").exists()


def test_a_database_of_another_program_is_refused(mongodb_uri: str, database_name: str) -> None:
    with MongoClient(mongodb_uri) as client:
        client[database_name]["requests"].insert_one({"_id": 1})
    settings = {"PHB_MONGODB_URI": mongodb_uri, "PHB_MONGODB_DATABASE": database_name}
    for words in (("serve", "--open", "--port", "0"), ("index",)):
        assert 'another program keeps something ("requests")' in refused(*words, **settings)


# --- the end, asked for or not ---


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_ends_the_server_its_workers_and_its_mongodb_with_code_0(
    number: int, workers: str, tmp_path: Path
) -> None:
    with serving("--data", str(tmp_path), "--workers", workers) as server:
        # Python's own tracker ends by itself once nobody is left to tell it anything; what it is shows only while it runs
        started = {pid for pid in children(server.process.pid) if "resource_tracker" not in words_of(pid)}
        assert server.mongods
        assert server.stop(number) == 0
        assert not [pid for pid in started if is_running(pid)]
        with pytest.raises(httpx.ConnectError):
            server.get("metadata")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_accepted_before_the_end_is_answered_and_kept(number: int, workers: str, tmp_path: Path) -> None:
    body = json.dumps(PATIENT).encode()
    with serving("--data", str(tmp_path), "--workers", workers) as server:
        url = httpx.URL(server.url)
        with socket.create_connection((url.host, url.port or 0), timeout=WAIT_S) as caller:
            head = f"POST /fhir/Patient HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: {FHIR['Content-Type']}\r\n"
            # the server says Continue once it has accepted the request and waits for its body
            caller.sendall(f"{head}Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode())
            assert caller.recv(1_000).startswith(b"HTTP/1.1 100 ")
            for pid in (server.process.pid, *server.workers):  # as a terminal tells all of them
                os.kill(pid, number)
            assert until(lambda: _is_refused(url))
            caller.sendall(body)
            answer = caller.recv(100_000).decode()
        assert answer.startswith("HTTP/1.1 201 ")
        assert server.process.wait(WAIT_S) == 0
    location = re.search(r"(?im)^location: \S+/fhir/(\S+)", answer)
    assert location is not None
    with serving("--data", str(tmp_path)) as again:
        assert again.get(location[1]).status_code == 200


def _is_refused(url: httpx.URL) -> bool:
    try:
        socket.create_connection((url.host, url.port or 0), timeout=1).close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("workers", ["1", "2"])
def test_after_kill_9_of_the_server_nothing_of_it_runs_on_and_the_next_start_has_what_was_acknowledged(
    workers: str, tmp_path: Path
) -> None:
    with serving("--data", str(tmp_path), "--workers", workers) as server:
        acknowledged = server.post(PATIENT)
        assert acknowledged.status_code == 201
        left = server.mongods + server.workers
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        assert until(lambda: not [pid for pid in left if is_running(pid)])
    with serving("--data", str(tmp_path)) as again:
        assert again.get(acknowledged.headers["location"].split("/fhir/")[1]).status_code == 200


def test_after_kill_9_of_mongod_the_server_answers_again_with_what_was_acknowledged(tmp_path: Path) -> None:
    with serving("--data", str(tmp_path)) as server:
        acknowledged = server.post(PATIENT).headers["location"].split("/fhir/")[1]
        (mongod,) = server.mongods
        os.kill(mongod, signal.SIGKILL)
        assert until(lambda: server.mongods not in ([], [mongod]))
        assert until(lambda: httpx.get(f"{server.origin}/health/ready", timeout=WAIT_S).status_code == 200)
        assert server.get(acknowledged).status_code == 200
        assert server.post(PATIENT).status_code == 201


# --- several workers ---


def test_a_worker_that_is_killed_is_replaced_while_the_others_answer(tmp_path: Path) -> None:
    with serving("--data", str(tmp_path), "--workers", "2") as server:
        assert until(lambda: len(server.workers) == 2)
        first, second = server.workers
        os.kill(first, signal.SIGKILL)
        assert until(lambda: len(server.workers) == 2 and first not in server.workers)
        assert second in server.workers
        assert server.get("metadata").status_code == 200


def test_a_worker_is_not_taken_for_dead_while_a_busy_machine_lets_it_wait() -> None:
    """uvicorn's own five seconds are less than one takes to begin where others have the processors."""
    assert config_of(Settings(workers=2)).timeout_worker_healthcheck == WORKER_SILENT_MAX_S > 5


def test_how_long_a_worker_says_nothing_is_known_without_waiting_for_it() -> None:
    ours, theirs = multiprocessing.Pipe()
    pulse = Pulse(ours)
    assert [pulse.silent_s(now) for now in (100.0, 105.0, 109.0)] == [0, 5, 9]
    assert theirs.recv() == b"ping"
    assert not theirs.poll(), "it was asked again, before it had answered"
    theirs.send(True)
    assert [pulse.silent_s(now) for now in (110.0, 111.0)] == [0, 1]
    theirs.close()
    assert pulse.silent_s(112.0) == math.inf


def test_a_worker_that_is_killed_is_replaced_while_another_hangs(tmp_path: Path) -> None:
    with serving("--data", str(tmp_path), "--workers", "2") as server:
        assert until(lambda: len(server.workers) == 2)
        hanging, killed = sorted(server.workers)
        os.kill(hanging, signal.SIGSTOP)
        os.kill(killed, signal.SIGKILL)
        assert until(lambda: len(set(server.workers) - {hanging, killed}) == 1)
        assert hanging in server.workers, "the other was replaced only after this one had been waited for"
        os.kill(hanging, signal.SIGCONT)


def test_metrics_are_those_of_all_workers_together_and_their_folder_is_removed_at_the_end(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with serving("--data", str(tmp_path / "data"), "--workers", "2", TMPDIR=str(scratch)) as server:
        for _ in range(20):
            server.get("metadata")
        text = httpx.get(f"{server.origin}/metrics").text
        counted = re.search(r'phb_fhir_requests_total\{interaction="capabilities",status="200",type=""\} (\S+)', text)
        assert counted is not None
        assert float(counted[1]) == 20
        assert list(scratch.iterdir())
        assert server.stop() == 0
    assert list(scratch.iterdir()) == []


BROKEN_WORKERS = """
import socket, sys, uvicorn
from phb_fhir.cli import serve
if __name__ == "__main__":
    serve.DEATHS_MAX = 3
    with socket.socket() as listener, serve._shared_metrics():
        patient = {"timeout_worker_healthcheck": serve.WORKER_SILENT_MAX_S}
        config = uvicorn.Config(sys.argv[1], factory=True, workers=2, log_config=None, **patient)
        workers = serve._Workers(config, [listener], 1, sys.argv[2])
        workers.run()
        print(workers.gave_up)
"""


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        ("phb_fhir.no_such_module:create", "A worker could not start; the log says why."),
        ("os:abort", "The workers died 3 times within 60 seconds; the log says of what."),
    ],
)
def test_workers_that_cannot_live_are_given_up_with_a_sentence(
    factory: str, sentence: str, tmp_path: Path, mongodb_uri: str
) -> None:
    script = tmp_path / "broken.py"
    script.write_text(BROKEN_WORKERS)
    done = subprocess.run(
        [sys.executable, str(script), factory, mongodb_uri],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        timeout=WAIT_S,
        check=True,
    )
    assert done.stdout == f"{sentence}\n"
