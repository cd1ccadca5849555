"""Arguments of the command line."""

import pytest

from dgn.cli.arguments import hydra_arguments
from dgn.errors import UserError


def test_no_file_of_a_group_is_an_error_that_names_the_files():
    with pytest.raises(UserError, match=r"data=null: data is one of cifar10.*doodles.*; leave it out"):
        hydra_arguments(["data=null"])


def test_keys_that_are_no_group_may_be_null():
    assert hydra_arguments(["target.weights=null", "prior=null"]) == ["target.weights=null", "prior=null"]


def test_a_multirun_may_be_asked_for_before_other_arguments():
    assert hydra_arguments(["seed=0,1", "-m", "code_noise=0"]) == ["seed=0,1", "code_noise=0", "-m"]
    assert hydra_arguments(["--multirun", "seed=0,1", "--cfg", "job"])[-3:] == ["--cfg", "job", "--multirun"]
