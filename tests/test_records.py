import pytest

from dgn.cli.renamed import check_targets
from dgn.errors import UserError, one_line
from dgn.records import read_json, read_text, read_yaml


def test_small_files_are_read(tmp_path):
    (tmp_path / "a.json").write_text('{"steps": 3}')
    (tmp_path / "a.yaml").write_text("- 1\n- 2\n")
    (tmp_path / "empty.yaml").write_text("")
    assert read_json(tmp_path / "a.json") == {"steps": 3}
    assert read_yaml(tmp_path / "a.yaml", kind=list) == [1, 2]
    assert read_yaml(tmp_path / "empty.yaml") == {}
    assert read_text(tmp_path / "a.yaml") == "- 1\n- 2\n"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", b'{"steps": ', "is damaged: Expecting value"),
        ("a.json", b"[1]", "it holds a list, not an object"),
        ("a.json", b"\xff\xfe", "is damaged: 'utf-8' codec"),
        ("a.json", b"[" * 100_000, "is damaged: "),
        ("a.yaml", b"a: b: c", "is damaged: mapping values are not allowed here"),
        ("a.yaml", b"!!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("a.yaml", b"text", "it holds a str, not a dict"),
        ("a.yaml", b"a: &a [*a, *a]", "it refers to itself too often"),
        (
            "a.yaml",
            b"a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            + b"\n".join(b"%c: &%c [%s]" % (98 + i, 98 + i, b", ".join([b"*%c" % (97 + i)] * 10)) for i in range(9)),
            "it refers to itself too often",
        ),
    ],
)
def test_damaged_ones_end_in_one_line_that_names_the_file(name, content, said, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        (read_json if name.endswith("json") else read_yaml)(tmp_path / name, "run's settings")
    message = str(caught.value)
    assert said in message
    assert str(tmp_path / name) in message
    assert message.endswith("; restore the run's settings from a copy, or remove it and run again")
    assert "\n" not in message


def test_a_saved_config_of_others_calls_nothing_of_theirs(tmp_path):
    check_targets(
        {"target": {"_target_": "dgn.networks.zoo.mini_resnet"}, "x": [{"_target_": "torch.optim.Adam"}]}, tmp_path
    )
    with pytest.raises(UserError, match=r"names 'os\.system', which is no part of dgn and could run anything"):
        check_targets({"judge": [{"_target_": "os.system", "command": "true"}]}, tmp_path)


def test_messages_are_one_line_whatever_they_quote():
    assert one_line("a\n b\tc") == "a b c"
    assert one_line("clear \x1b[2J, turned \u202e") == "clear \\x1b[2J, turned \\u202e"
    assert one_line("x" * 5000) == f"{'x' * 200}...{'x' * 40}"
    assert one_line("Ö 日本") == "Ö 日本"
