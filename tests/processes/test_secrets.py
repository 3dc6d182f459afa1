"""Secrets reach handlers, and nothing that the mesh writes down."""

from collections.abc import Iterator

import pytest

from mesh import Refused, TaskFailed
from tests.processes.rig import AGENTS, LocalMesh, local_mesh

KEEPER = str(AGENTS / "keeper.py")
TOKEN = "tk-51f0'\"8e/+a9"
ENVIRON = "from-the-environment-77"
FILED = "first line of the key\nsecond line of the key"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "token.txt").write_text(TOKEN + "\n")
    (folder / "key.pem").write_text(FILED)
    (folder / "secrets.toml").write_text(
        'token = { command = ["cat", "token.txt"] }\n'
        'key = { file = "key.pem" }\n'
        'other = { env = "SOME_VARIABLE" }\n'
        'broken = { command = ["sh", "-c", "echo hidden-words; exit 3"] }\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESH_SECRET_PLAIN_ONE", ENVIRON)
        patch.setenv("SOME_VARIABLE", ENVIRON)
        with local_mesh(folder / "m", 2, [KEEPER]) as made:
            made.down()
            made.cli("up", "--detach", "--secrets", str(folder / "secrets.toml"),
                     "--labels", "gpu,region:eu@peer-2", timeout_s=60)  # fmt: skip
            yield made


@pytest.mark.slow
def test_secrets_come_from_variables_files_and_commands(mesh: LocalMesh) -> None:
    with mesh.client() as client:
        lengths = [
            client.call("length", name=name) for name in ("plain-one", "token", "key", "other")
        ]
        assert lengths == [len(ENVIRON), len(TOKEN), len(FILED), len(ENVIRON)]
        with pytest.raises(TaskFailed, match="no secret absent here: MESH_SECRET_ABSENT") as caught:
            client.call("length", name="absent")
        assert caught.value.kind == "NoSecret"
        with pytest.raises(TaskFailed, match="secret broken: sh ended with status 3"):
            client.call("length", name="broken")


@pytest.mark.slow
def test_no_file_of_the_mesh_folder_holds_a_secret(mesh: LocalMesh) -> None:
    with mesh.client() as client:
        for name in ("plain-one", "key"):
            client.call("length", name=name)
        assert client.call("blabs", how="") == "said"
        for how, kind in (
            ("raises", "ValueError"), ("returns", "SecretInResult"), ("passes", "Refused"),
        ):  # fmt: skip
            with pytest.raises(TaskFailed) as caught:
                client.call("blabs", how=how)
            assert caught.value.kind == kind
            assert "[secret token]" in caught.value.message
            assert TOKEN not in caught.value.message
    mesh.cli("down")
    files = [path for path in mesh.path.rglob("*") if path.is_file()]
    logs = "".join(path.read_text() for path in files if path.name == "worker-keeper.log")
    assert "printed [secret token]" in logs
    assert "complained" in logs
    assert len(files) > 10
    for path in files:
        data = path.read_bytes()
        for value in (
            TOKEN,
            TOKEN.replace('"', '\\"'),
            ENVIRON,
            *FILED.split("\n"),
            "hidden-words",
        ):
            assert value.encode() not in data, path
    mesh.cli("up", "--detach", timeout_s=60)


@pytest.mark.slow
def test_a_sensitive_input_is_in_no_log_event_or_story_and_a_sensitive_result_is_masked(
    mesh: LocalMesh,
) -> None:
    password = "pw-77-quite/long"
    with mesh.client("peer-1") as client:
        handle = client.submit("signs_in", user="ada", password=password)
        assert handle.result(20) == f"token of {password}", "who asked is told"
        failed = client.submit("signs_in", user="ada", password=password, how="raises")
        with pytest.raises(TaskFailed, match=r"wrong password \[sensitive password\] of ada"):
            failed.result(20)
        with pytest.raises(TaskFailed) as caught:
            client.call("echoes", password=password)
        assert caught.value.kind == "SecretInResult", "a result that is not marked"
        with pytest.raises(Refused) as refused:
            client.call("signs_in", user="ada", password=[password])
        assert password not in str(refused.value)
        shown = [
            mesh.cli(*words, expect=None).out
            for task in (handle.id, failed.id)
            for words in (("task", task), ("why", task), ("trace", task))
        ]
    assert any("[sensitive]" in text for text in shown)
    shown.append(mesh.cli("logs").out)
    shown += [path.read_text(errors="replace") for path in mesh.path.glob("peers/*/*.jsonl")]
    shown += [path.read_text(errors="replace") for path in mesh.path.glob("peers/*/*.log")]
    assert any("logged [sensitive password]" in text for text in shown)
    assert any("printed [sensitive password]" in text for text in shown)
    assert not any(password in text for text in shown)


@pytest.mark.slow
def test_work_goes_where_its_labels_are(mesh: LocalMesh) -> None:
    labels = {row["name"]: row["labels"] for row in mesh.cli("peers").rows}
    assert labels == {"peer-1": ["vault"], "peer-2": ["gpu", "region:eu", "vault"]}
    with mesh.client("peer-1") as client:
        handles = [client.submit("renders") for _ in range(5)]
        assert {handle.outcome(20).producer for handle in handles} == {"peer-2"}
        fit = client.options(requires=("region:eu", "vault"))
        assert fit.submit("length", name="plain-one").outcome(20).producer == "peer-2"
        with pytest.raises(Refused, match="no live peer that hosts length@1 has the label 'tpu'"):
            client.options(requires="tpu").call("length", name="token")
        with pytest.raises(Refused, match="that peer lacks the label 'gpu'"):
            client.options(to="peer-1").call("renders")
