from torch import nn

from dgn.cli.networks import print_layers
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()
        self.again = nn.Conv2d(4, 4, 3, padding=1)
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 5)

    def forward(self, x):
        x = self.relu(self.again(self.relu(self.conv(x))))
        return self.fc(self.pool(x).flatten(1))


def rows(capsys, role):
    print_layers(FeatureNet(Twice(), InputSpace(), "twice", probe_size=12), role)
    out = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    return {row[0]: row[-1] for row in cells}, out


def test_the_default_of_the_role_and_layers_of_several_calls_are_marked(capsys):
    marks, out = rows(capsys, "encoder")
    assert marks["relu"] == "last of 2 calls: @0 .. @1"
    assert marks["fc"] == "its input is the default"
    assert "Default: encoder.layer=fc:input" in out
    assert marks["conv"] == ""
    for role, layer in (("target", "fc"), ("judge", "fc"), ("comparator", "relu")):
        marks, out = rows(capsys, role)
        assert [name for name, mark in marks.items() if mark.startswith("default")] == [layer]
        assert f"Default: {role}.layer={layer}" in out
