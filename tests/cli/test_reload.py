"""What `mesh reload` says where there is nothing to replace."""

from pathlib import Path

import pytest

from mesh.cli.output import NO_PEER, USAGE
from mesh.cli.reload import reload
from mesh.runtime import launcher
from protocols.errors import ConfigurationError


def test_reload_wants_a_peer_or_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    for peer, everywhere in (("peer-1", True), (None, False)):
        with pytest.raises(SystemExit) as ended:
            reload(peer, everywhere)
        assert ended.value.code == USAGE
        assert "a peer's name, or --all" in capsys.readouterr().err


def test_reload_of_what_does_not_run_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launcher.prepare(tmp_path / ".mesh", 1, [])
    for peer, said in (("peer-1", "peer-1 does not run"), (None, "no peer runs")):
        with pytest.raises(SystemExit) as ended:
            reload(peer, peer is None, at=tmp_path / ".mesh")
        assert ended.value.code == NO_PEER
        assert said in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match="has no peer 'peer-7'"):
        reload("peer-7", at=tmp_path / ".mesh")
