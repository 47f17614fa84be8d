"""From a spec to a module that lives without mhagen: what is built, what is written, what is refused."""

from __future__ import annotations

import os
import pickle
import re
import resource
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mhagen
from mhagen import InputError, UnsupportedError, VerificationError
from mhagen.backend import cpu
from mhagen.codegen.render import render
from mhagen.pipeline import compile_to_source
from mhagen.runtime.linear import LinearKernel

SPEC: dict[str, Any] = {
    "name": "lone",
    "heads": {"query": 2, "key_value": 1, "dim": 12},
    "mask": {"keep": "k <= q"},
    "projections": {"model_dim": 20, "bias": True},
}
TOML = """
name = "lone"
[heads]
query = 2
key_value = 1
dim = 12
[mask]
keep = "k <= q"
[projections]
model_dim = 20
bias = true
"""
# What a second process does: with no mhagen to be found, and without Numba where the cache is warm.
LONE = """
import sys
sys.modules["mhagen"] = None
sys.path.insert(0, {folder!r})
import numpy as np
from {module} import attention, layer
rng = np.random.default_rng(0)
query, key, value = (rng.standard_normal((1, heads, 5, 12), np.float32) for heads in (2, 1, 1))
out = attention(query, key, value)
shapes = dict(wq=(24, 20), wk=(12, 20), wv=(12, 20), wo=(20, 24), bq=24, bk=12, bv=12)
weights = {{name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}}
y = layer(rng.standard_normal((1, 5, 20), np.float32), weights)
print(out.astype(np.float64).sum(), y.astype(np.float64).sum(), "numba" in sys.modules)
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the module and its support, whose kernels are in the cache."""
    folder = tmp_path_factory.mktemp("written")
    mhagen.build(SPEC, out=folder)
    return folder


def lone_process(folder: Path, module: str, **environment: str) -> subprocess.CompletedProcess[str]:
    script = LONE.format(folder=str(folder), module=module)
    command = [sys.executable, "-I", "-W", "error", "-c", script]
    return subprocess.run(
        command, env={**os.environ, **environment}, cwd="/", capture_output=True, text=True, timeout=120
    )


def expected_of_lone() -> str:
    """What LONE prints, from the kernel of this process."""
    kernel = mhagen.build(SPEC)
    rng = np.random.default_rng(0)
    query, key, value = (rng.standard_normal((1, heads, 5, 12), np.float32) for heads in (2, 1, 1))
    out = kernel.attention(query, key, value)
    shapes: dict[str, Any] = {"wq": (24, 20), "wk": (12, 20), "wv": (12, 20), "wo": (20, 24)}
    shapes |= {"bq": 24, "bk": 12, "bv": 12}
    weights = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    y = kernel.layer(rng.standard_normal((1, 5, 20), np.float32), weights)
    return f"{out.astype(np.float64).sum()} {y.astype(np.float64).sum()}"


# Building


def test_a_path_a_dict_and_a_spec_build_the_same_kernel(tmp_path: Path) -> None:
    path = tmp_path / "any.toml"
    path.write_text(TOML)
    kernels = [mhagen.build(spec) for spec in (path, str(path), SPEC, mhagen.load_spec(path))]
    assert len({kernel.source for kernel in kernels}) == 1
    assert len({kernel.module for kernel in kernels}) == 1


def test_two_specs_of_one_name_live_side_by_side() -> None:
    wide = SPEC | {"heads": {"query": 1, "dim": 9}, "projections": {"model_dim": 9}}
    one, other = mhagen.build(SPEC), mhagen.build(wide)
    assert one.module is not other.module
    x = np.ones((1, 1, 4, 9), np.float32)
    np.testing.assert_allclose(other.attention(x, x, x), 1, rtol=1e-6)
    with pytest.raises(InputError):
        one.attention(x, x, x)


def test_a_kernel_without_projections_has_no_layer() -> None:
    kernel = mhagen.build({"name": "bare", "heads": {"query": 1, "dim": 4}})
    for name in ("layer", "prepare"):
        with pytest.raises(InputError, match=rf"bare has no {name}\(\): its spec has no \[projections\]"):
            getattr(kernel, name)
        assert not hasattr(kernel.module, name)
    with pytest.raises(InputError, match=r"bare has no layer\(\)"):
        mhagen.reference(kernel.spec).layer(np.zeros((1, 1, 1)), {})


def test_a_backend_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="backend 'tpu'"):
        mhagen.build(SPEC, backend="tpu")


def test_what_a_backend_does_not_know_is_refused_and_not_passed_over() -> None:
    with pytest.raises(InputError, match="arch is 'sm_90'"):
        mhagen.build(SPEC, arch="sm_90")
    with pytest.raises(UnsupportedError, match=r"see mhagen\.tune_for_gpu"):
        mhagen.build(SPEC, backend="cuda", tune="now")


def test_a_kernel_that_is_pickled_says_what_to_pickle() -> None:
    with pytest.raises(TypeError, match="cannot be pickled: pickle its spec"):
        pickle.dumps(mhagen.build(SPEC))


def test_weights_that_a_module_with_its_own_runtime_prepared_are_told_as_such() -> None:
    prepare, prepared = LinearKernel.prepare, type("Prepared", (), {})()
    with pytest.raises(InputError, match=r"prepared for another layer.*call prepare\(\) of this module"):
        prepare(object(), (), prepared)  # type: ignore[arg-type]


def test_building_writes_nothing_but_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mhagen.build(SPEC)
    assert list(tmp_path.iterdir()) == []


# Written modules


def test_the_written_folder_holds_the_module_and_its_support(written: Path) -> None:
    assert {path.name for path in written.iterdir()} == {"lone.py", cpu.SUPPORT}
    support = {path.name: path.read_text() for path in (written / cpu.SUPPORT).glob("*.py")}
    assert support == cpu.support_files()
    assert (written / "lone.py").read_text() == mhagen.build(SPEC).source.text


def test_a_written_module_needs_neither_mhagen_nor_a_warm_numba(written: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where"
    shutil.copytree(written, elsewhere)
    done = lone_process(elsewhere, "lone")
    assert done.stdout.strip() == f"{expected_of_lone()} False", done.stderr


def test_a_written_module_may_be_part_of_a_package(written: Path, tmp_path: Path) -> None:
    shutil.copytree(written, tmp_path / "models" / "kernels")
    for package in ("models", "models/kernels"):
        (tmp_path / package / "__init__.py").touch()
    done = lone_process(tmp_path, "models.kernels.lone")
    assert done.stdout.strip() == f"{expected_of_lone()} False", done.stderr


def test_a_written_module_compiles_itself_where_the_cache_is_cold(written: Path, tmp_path: Path) -> None:
    cold = {"MHAGEN_CACHE_DIR": str(tmp_path / "cache")}
    for numba in (True, False):
        done = lone_process(written, "lone", **cold)
        assert done.stdout.strip() == f"{expected_of_lone()} {numba}", done.stderr


def test_import_and_first_call_are_quick_from_a_warm_cache(written: Path) -> None:
    """Time of the CPU: other processes do not count. The best of three: a disk may be cold."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert lone_process(written, "lone").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.8


@pytest.mark.parametrize("features", ["", "+sse2,+avx"])
def test_a_module_refuses_a_cpu_that_lacks_its_instructions(written: Path, features: str) -> None:
    done = lone_process(written, "lone", NUMBA_CPU_FEATURES=features)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert re.search(r"UnsupportedError: lone\w* was generated for .* lacks", last)
    assert last.endswith("build its spec again on this machine: mhagen build SPEC")


# Wrong kernels


FAULTS = {
    "the sums": ("1.0 / total", "1.0001 / total"),
    "the last keys": ("BLOCK_KEYS, end_key) - block", "BLOCK_KEYS, end_key) - block - 1"),
    "the products": ("load_each(x0 + 4 * d)", "load_each(x0)"),
    "the heads": ("h // GROUP_SIZE * key_head", "h * 0 + b * key_head"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_kernel_that_disagrees_with_the_reference_is_not_published(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong = FAULTS[fault]
    texts: list[str] = []

    def render_wrong(model: Any) -> str:
        text = render(model)
        texts.append(text)
        assert right in text
        return text.replace(right, wrong)

    monkeypatch.setattr(cpu, "render", render_wrong)
    spec = SPEC | {"heads": {"query": 2, "key_value": 2, "dim": 12}}
    with pytest.raises(VerificationError, match="lone differs from the reference"):
        mhagen.build(spec, out=tmp_path / "out")
    assert len(texts) == 1 and not (tmp_path / "out").exists()


# Several at once


def test_processes_that_build_at_once_all_get_the_kernel(tmp_path: Path) -> None:
    script = (
        "import sys, mhagen, numpy as np\n"
        f"kernel = mhagen.build({SPEC!r}, out=sys.argv[1])\n"
        "x = np.ones((1, 2, 3, 12), np.float32)\n"
        "assert (kernel.attention(x, x[:, :1], x[:, :1]) == 1).all()\n"
    )
    environment = {**os.environ, "MHAGEN_CACHE_DIR": str(tmp_path / "cache")}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", script, str(tmp_path / "out")]
    builders = [
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for builder in builders:
        _, errors = builder.communicate(timeout=300)
        assert builder.returncode == 0, errors
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"lone.py", cpu.SUPPORT}
    assert {path.name for path in (tmp_path / "out" / cpu.SUPPORT).glob("*")} == {*cpu.support_files()}
    assert (
        len(list((tmp_path / "cache").glob("**/*.code"))) == 3
    )  # attention, the same for few queries, products


LONG = {
    "many parts": " and ".join(f"(k + {i}) % 97 != q % {i + 90}" for i in range(12)),
    "a long index": "shut[max(0, min(2147483, width_of_windows) - max(h, q, width_of_windows) * 17 % 5), k]",
    "a long sum": "k < " + " + ".join(f"(q * {i} + h) % 1009" for i in range(1, 12)),
}


@pytest.mark.parametrize("which", LONG)
def test_expressions_that_fill_several_lines_are_written_all_the_same(which: str) -> None:
    spec = SPEC | {"mask": {"keep": LONG[which]}}
    if "shut" in LONG[which]:
        spec |= {"inputs": {"shut": {"shape": [7, "keys"], "dtype": "bool"}}}
        spec |= {"constants": {"width_of_windows": 256}}
    source = compile_to_source(spec, tune="never")[2]
    compile(source.text, which, "exec")
    assert max(map(len, source.text.splitlines())) < 200


def test_no_thread_sees_a_module_before_its_import_has_ended() -> None:
    text = "import time\ntime.sleep(0.3)\nEND = True\n"
    with ThreadPoolExecutor(4) as pool:
        modules = list(pool.map(lambda _: cpu.load_text("mhagen.built.slow", text, ()), range(4)))
    assert all(module is modules[0] and module.END for module in modules)
