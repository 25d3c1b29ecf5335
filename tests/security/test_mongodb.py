"""A MongoDB that wants TLS and a password, as it does wherever it is not ours alone: used by its address, and refused in a sentence."""

from __future__ import annotations

import json

import httpx
import pytest
from pymongo import MongoClient
from typer.testing import CliRunner, Result

from phb_fhir.cli.main import app
from phb_fhir.store.embedded import CannotStart, check_replica_set
from tests.builders import bundle, entry, person
from tests.processes import ServerProcess, until
from tests.security.certificates import Authority
from tests.security.mongods import PASSWORD, GuardedMongo

DATABASE = "phb_guarded"
FHIR = {"Content-Type": "application/fhir+json"}
WAIT_S = 60


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    with GuardedMongo(tmp_path_factory.mktemp("guarded"), DATABASE) as mongo:
        yield mongo


def refused(uri: str, database: str = DATABASE) -> str:
    with pytest.raises(CannotStart) as refusal:
        check_replica_set(uri, timeout_s=2, database=database)
    sentence = refusal.value.sentence
    assert PASSWORD not in sentence
    assert "Zaphod" not in sentence
    assert "\n" not in sentence
    return sentence


# ---- used ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_serves_from_it_with_the_rights_of_one_database_alone(guarded, workers, tmp_path):
    """Transactions, change streams, indexes: all of it, with the role readWrite on its own database."""
    settings = {"mongodb_uri": guarded.uri, "mongodb_database": DATABASE, "workers": workers}
    with ServerProcess(tmp_path, **settings) as running, httpx.Client(base_url=running.base, timeout=WAIT_S) as client:
        moved = bundle(
            "transaction", entry("PUT", "Patient/jill", person(id="jill")), entry("POST", "Patient", person())
        )
        assert client.post("", content=json.dumps(moved), headers=FHIR).status_code == 200
        assert client.get("/Patient/jill").status_code == 200
        assert client.get("/Patient?identifier=9000000009&_total=accurate").json()["total"] >= 2
        system = {"resourceType": "CodeSystem", "url": f"urn:x:{workers}", "status": "active", "content": "complete"}
        system["concept"] = [{"code": "a"}]
        assert client.post("/CodeSystem", content=json.dumps(system), headers=FHIR).status_code == 201
        asked = {"url": f"urn:x:{workers}", "code": "a"}
        assert until(lambda: client.get("/CodeSystem/$validate-code", params=asked).status_code == 200)
        assert PASSWORD not in running.log.read_text()
        assert running.stop() == 0
        assert PASSWORD not in running.log.read_text()


def test_who_may_read_alone_copies_nothing_and_hears_why(guarded, tmp_path):
    """A copy of everybody's record stands in the audit trail, or is not made."""
    file, database = tmp_path / "copy", f"{DATABASE}_copied"
    with MongoClient(guarded.admin_uri) as admin:
        admin[database].meta.insert_one({"_id": "page-key"})
        for user, role in (("reader", "read"), ("writer", "readWrite")):
            admin.admin.command("createUser", user, pwd="Zaphod42", roles=[{"role": role, "db": database}])
    environment = {"PHB_MONGODB_DATABASE": database}

    def backup(user: str) -> Result:
        uri = guarded.uri_with(user=user, password="Zaphod42")
        return CliRunner().invoke(app, ["backup", str(file), "--mongodb-uri", uri], env=environment)

    error = backup("reader").exception
    assert isinstance(error, CannotStart)
    assert error.sentence == (
        "Who copies or restores the whole record is kept in its audit trail, and that could not be written. The user of the database may not do "
        "what is needed, while keeping the audit trail: it takes one who may read and write."
    )
    assert list(tmp_path.iterdir()) == []
    assert backup("writer").exit_code == 0
    assert file.stat().st_size


def test_a_password_that_is_changed_while_it_serves_is_told_as_a_database_out_of_reach_and_not_repeated(
    guarded, tmp_path
):
    with MongoClient(guarded.admin_uri) as admin:
        role = {"role": "readWrite", "db": DATABASE}
        admin.admin.command("createUser", "fickle", pwd="Zaphod42", roles=[role])
        uri = guarded.uri_with(user="fickle", password="Zaphod42")
        with ServerProcess(tmp_path, mongodb_uri=uri, mongodb_database=DATABASE) as running:
            admin.admin.command("dropUser", "fickle")
            answer = httpx.get(f"{running.base}/Patient/jill", timeout=WAIT_S)
            assert answer.status_code == 503
            assert answer.json()["issue"][0]["code"] == "transient"
            assert "Zaphod" not in answer.text + running.log.read_text()
            assert running.look("/health/ready").status == 503


# ---- refused ---------------------------------------------------------------------------------------------------------


def test_the_right_address_is_taken(guarded):
    check_replica_set(guarded.uri, timeout_s=10, database=DATABASE)
    with MongoClient(guarded.uri) as found:
        assert found[DATABASE].command("ping")["ok"] == 1


def test_a_wrong_password_is_said_without_repeating_it(guarded):
    sentence = refused(guarded.uri_with(password="Zaphod"))
    assert sentence == f"The MongoDB at 127.0.0.1:{guarded.port} did not take the user name and password it was given."


def test_no_password_at_all_is_said(guarded):
    assert refused(guarded.uri_with(user="")) == (
        f"The MongoDB at 127.0.0.1:{guarded.port} wants to know who we are: "
        "put a user name and a password into its address."
    )


def test_a_user_who_may_not_use_the_database_is_told_so(guarded):
    assert refused(guarded.uri, database="another") == (
        f"The user that was named may not read and write the database another of the MongoDB at 127.0.0.1:{guarded.port}: "
        "give it the role readWrite there."
    )


def test_another_authority_is_not_trusted(guarded, tmp_path):
    for ca in (Authority(tmp_path, "stranger").cert, None):
        sentence = refused(guarded.uri_with(tlsCAFile=ca))
        assert sentence.startswith(
            f"The MongoDB at 127.0.0.1:{guarded.port} shows a certificate that is not trusted here: name its authority "
        )


def test_a_file_for_tls_that_is_not_there_or_no_certificate_is_said(guarded, tmp_path):
    words = tmp_path / "words.pem"
    words.write_text("not a certificate")
    for file, why in ((tmp_path / "gone.pem", "No such file or directory"), (words, "NO_CERTIFICATE_OR_CRL_FOUND")):
        assert refused(guarded.uri_with(tlsCAFile=file)) == (
            f"A file that the MongoDB address (PHB_MONGODB_URI) names for TLS cannot be used: {why}."
        )


def test_without_tls_it_is_said_what_may_be_missing(guarded):
    assert refused(guarded.uri_with(tls=None, tlsCAFile=None)) == (
        f"The MongoDB at 127.0.0.1:{guarded.port} closes every connection: if it wants TLS, say tls=true in its address."
    )


def test_the_wrong_replica_set_is_said_over_tls_too(guarded):
    assert refused(guarded.uri_with(replicaSet="other")) == (
        f'The MongoDB at 127.0.0.1:{guarded.port} is the replica set "guarded", not "other" as its address says.'
    )


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://user:Zap/Zaphod@127.0.0.1:1/",
        "mongodb://user:Zap@Zaphod@127.0.0.1:1/",
        "mongodb://user:Zap?Zaphod@127.0.0.1:1/",
        "mongodb://user:Zap:Zaphod@127.0.0.1:1/",
        "mongodb://user:%Zaphod@127.0.0.1:1/",
        "mongodb://user:Zaphod@127.0.0.1:99999/",
        "mongodb://user:Zaphod@/",
        "mongodb://user:1234/Zaphod@127.0.0.1/",
        "mongodb://user:Zaphod@127.0.0.1:1/?x",
        "mongodb://user:Zaphod@127.0.0.1:1/?tls=maybe",
        "mongodb://user:Zaphod@127.0.0.1:1/?authMechanism=x",
        "mongodb://user:Zaphod@127.0.0.1:1/",
        "http://user:Zaphod@127.0.0.1:1/",
        "user:Zaphod@127.0.0.1",
        "Zaphod",
    ],
)
def test_whatever_is_wrong_with_an_address_its_password_is_not_repeated(uri):
    assert "1234" not in refused(uri)  # "Zaphod" is looked for in every refusal here
