"""docs/your-own-network.md, block by block as a reader pastes it, with fewer pictures and steps."""

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "your-own-network.md").read_text()
HERE = r"(?:cat > (?P<file>\S+)|python -) <<'END'\n(?P<text>.*?)END\n"
SMALL = {
    "train.py": [
        *("trainer.max_steps=2", "trainer.precision=32-true"),
        *("data.num_workers=0", "data.batch_size=8", "generator.width=0.05"),
    ],
    "visualize.py": ["steps=2", "reference_images=0", "seeds=1"],
}


@pytest.mark.slow
def test_the_page_leads_from_a_model_file_to_a_gallery(user, monkeypatch):
    monkeypatch.chdir(user.folder)
    printed = []
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL):
        for part in re.finditer(HERE, block, re.DOTALL):
            if part["file"]:
                (user.folder / part["file"]).write_text(part["text"])
            else:
                exec(part["text"].replace("1600", "64"), {})
        for line in re.sub(HERE, "", block, flags=re.DOTALL).replace("\\\n", " ").splitlines():
            match shlex.split(line):
                case ["cp", source, to]:
                    shutil.copy(source, to)
                case ["python", script, *arguments]:
                    printed.append(user.run(script, *arguments, *SMALL[script])[0])
                case other:
                    raise AssertionError(f"not tried: {other}")
    fitted, layers, trained, gallery, further = (out.strip().splitlines() for out in printed)
    assert os.path.samefile(fitted[-1], "outputs/mynet/encoder.safetensors")
    assert any("head.3" in line for line in layers)
    assert os.path.samefile(trained[-1], "outputs/myprior/prior.safetensors")
    assert all(os.path.isfile(out[-1]) for out in (gallery, further))
    labels = [row.split(",")[2] for row in Path(gallery[-1]).with_name("results.csv").read_text().splitlines()[1:]]
    assert labels == sorted(labels)
    assert len(labels) == 16
    assert "house" in labels
