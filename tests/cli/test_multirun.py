import contextlib
import logging

import pytest
from omegaconf import OmegaConf

from dgn.cli.multirun import Multirun, watching
from dgn.errors import Interrupted, UserError


@pytest.mark.parametrize(("error", "shown"), [(UserError("one can mend this"), False), (RuntimeError("bug"), True)])
def test_a_failed_comparison_is_reported_with_the_command_to_repeat_it(tmp_path, monkeypatch, caplog, error, shown):
    def fails(*_):
        raise error

    monkeypatch.setattr("dgn.cli.multirun._compare", fails)
    (tmp_path / "0").mkdir()
    monkeypatch.setattr("dgn.cli.multirun.configure_log", lambda _: None)  # the test's log stays
    config = OmegaConf.create(
        {"hydra": {"sweep": {"dir": str(tmp_path)}, "hydra_logging": {}}, "comparison": {"enabled": True}}
    )
    failed = []
    with watching(failed), caplog.at_level(logging.ERROR):
        Multirun().on_multirun_end(config)
    assert failed == [tmp_path / "comparison"]
    assert f"dgn-compare {tmp_path}" in caplog.text
    assert ("Traceback" in caplog.text) == shown


def test_an_interruption_is_not_an_exception_that_libraries_catch():
    """At any moment it may come: within a library's `except Exception`, too."""
    with pytest.raises(Interrupted), contextlib.suppress(Exception):
        raise Interrupted(15, "stopped")
