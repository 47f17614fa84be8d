"""The wheel holds the package and its templates, and works where no checkout is."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from laws.house import EXAMPLES, HOUSE, ROOT, TEMPLATES

# Writes a spec's source from the installed package, and says where it found the templates.
SCRIPT = """
import sys
from mhagen.base.target import AVX2
from mhagen.codegen.render import template_folder
from mhagen.pipeline import compile_to_source
assert "mhagen" in template_folder().parts and template_folder().name == "_templates", template_folder()
sys.stdout.write(compile_to_source(sys.argv[1], target=AVX2)[2].text)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the wheel, is not installed: pip install -e '.[test]'")
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], ROOT)
    (path,) = folder.glob("*.whl")
    return path


def run(command: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_package_and_the_templates_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        templates = {path.relative_to(TEMPLATES).as_posix(): path for path in TEMPLATES.rglob("*.j2")}
        for name, path in templates.items():
            assert archive.read(f"mhagen/_templates/{name}") == path.read_bytes()
    modules = {f"mhagen/{module.path.relative_to(HOUSE.package)}" for module in HOUSE.modules.values()}
    assert names == modules | {f"mhagen/_templates/{name}" for name in templates}


def test_an_installed_wheel_generates_what_a_checkout_does(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    spec = str(EXAMPLES / "gpt2_small.toml")
    script = [sys.executable, "-c", SCRIPT, spec]
    generated = run(script, tmp_path, PYTHONPATH=str(tmp_path / "installed"))
    in_a_checkout = SCRIPT.replace("assert", "# not here: assert")
    assert generated == run([sys.executable, "-c", in_a_checkout, spec], tmp_path, PYTHONPATH=str(ROOT))
