import numpy as np
from scipy.io import savemat

from dgn.errors import UserError
from dgn.networks.laboratory.score_files import read_scores


def test_a_mat_file_that_crashes_its_reader_ends_in_one_line(tmp_path):
    """Its header states another size of the matrix, at which scipy's reader in C reads beyond the file."""
    path = tmp_path / "scores.mat"
    savemat(path, {"scores": np.arange(4.0)})
    assert read_scores(path, list("abcd"), 1)[:, 0].tolist() == [0, 1, 2, 3]
    whole = path.read_bytes()
    for at in range(128, len(whole), 24):
        path.write_bytes(whole[:at] + b"\xff\xff\xff\x7f" + whole[at + 4 :])
        try:
            assert read_scores(path, list("abcd"), 1).shape == (4, 1)
        except UserError as error:
            assert "scores.mat" in str(error)  # noqa: PT017 (some sizes are read rightly)
