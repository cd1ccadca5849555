"""Run folders: each run its own, also of those that begin in the same second."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from dgn.errors import UserError
from dgn.runs.folders import folder_to_resume, new_folder
from dgn.runs.ranks import agreed


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(new_folder, ["train"] * 40))
    assert len(set(folders)) == 40
    assert sorted(folders) == sorted(f.relative_to(tmp_path) for f in tmp_path.glob("outputs/train/*"))


def test_a_folder_that_cannot_be_made_is_a_user_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").write_text("in the way")
    with pytest.raises(UserError, match="name another with hydra"):
        new_folder("train")


def test_under_srun_a_new_run_is_named_after_the_job_and_a_resumed_one_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_PROCID": "1", "SLURM_JOB_ID": "77"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RANK", raising=False)

    def chosen(resume):
        return agreed(lambda name: folder_to_resume(resume) or new_folder("train", name))

    assert str(chosen(None)) == "outputs/train/slurm-77"
    assert not (tmp_path / "outputs").exists()  # it is rank 0's to make
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier" / "config.yaml").write_text("# python train.py\n")
    assert str(chosen("earlier")) == "earlier"
