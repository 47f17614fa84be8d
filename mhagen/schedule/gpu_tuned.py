"""What tuning has found for a GPU: a file of the cache for each spec, target and version.

A schedule is used for what it was found with; anything else is a miss. A file says what became of every
schedule that was tried, and the one that later builds use, if it is not the default one.

Format
    {"format": FORMAT, "for": circumstances, "schedule": as gpu_written has it, or null, ...}
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path

from ..base import settings
from ..base.digest import digest
from ..base.errors import InputError
from ..base.target import Gpu
from ..base.version import __version__
from ..runtime.entry import Doubt
from ..runtime.gpu_assembler import ptxas_version
from ..runtime.gpu_launch import version_of
from ..runtime.store import create_private
from ..spec.model import Spec
from .gpu_space import GpuPlan, plan_violations
from .gpu_written import plan_from_json
from .tuned import bytes_of, digest_of_spec, replace_text, warn
from .workload import Workload
from .written import Json, text, with_keys

FORMAT = "mhagen tuned for GPUs 1"
FOLDER = "gpu_tuned"


@dataclass(frozen=True)
class GpuCircumstances:
    """What a schedule was found with. Another of any of these may have another best one."""

    spec: str  # digest of all but its name
    target: str
    generator: str  # digest of what writes kernels
    mhagen: str
    numba: str
    numba_cuda: str
    ptxas: str


def gpu_circumstances_here(spec: Spec, target: Gpu, generator: str) -> GpuCircumstances:
    """Those of a kernel that is built in this process."""
    return GpuCircumstances(
        spec=digest_of_spec(spec),
        target=target.name,
        generator=generator,
        mhagen=__version__,
        numba=version("numba"),
        numba_cuda=version_of("numba-cuda"),
        ptxas=ptxas_version(),
    )


def gpu_record_path(circumstances: GpuCircumstances) -> Path | None:
    """Its file, which need not be there; None if the user has no home."""
    try:
        return settings.cache_dir() / FOLDER / f"{digest(circumstances)}.json"
    except InputError:
        return None


def gpu_records() -> tuple[Path, ...]:
    """The files of this user."""
    try:
        return tuple(sorted((settings.cache_dir() / FOLDER).glob("*.json")))
    except (OSError, InputError):
        return ()


def gpu_record_in(path: Path) -> tuple[GpuCircumstances, Json]:
    """What a file says, and what it was found with.

    Raises   OSError, Doubt
    """
    try:
        document = json.loads(bytes_of(path, is_kept=True))
    except (ValueError, RecursionError):
        raise Doubt("it is no JSON") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise Doubt(f"its format is not {FORMAT!r}")
    if not {"for", "schedule", "gpu"} <= set(document):
        raise Doubt("it does not say what it is for")
    names = tuple(each.name for each in fields(GpuCircumstances))
    given = with_keys(document["for"], names, "what it is for")
    text(document["gpu"], "gpu")
    return GpuCircumstances(**{name: text(given[name], name) for name in names}), document


def gpu_record(circumstances: GpuCircumstances) -> Json | None:
    """What was found before. A file that is damaged is one warning and a miss."""
    path = gpu_record_path(circumstances)
    if path is None:
        return None
    try:
        found_with, document = gpu_record_in(path)
        if found_with != circumstances:
            raise Doubt("it is for something else")
    except FileNotFoundError:
        return None
    except (OSError, Doubt) as error:
        warn(f"mhagen: {path} is not used: {error}")
        return None
    return document


def tuned_gpu_plan(circumstances: GpuCircumstances, work: Workload, gpu: Gpu) -> GpuPlan | None:
    """The legal schedule that was found in these circumstances, where one is better than the default."""
    document = gpu_record(circumstances)
    if document is None or document["schedule"] is None:
        return None
    try:
        plan = plan_from_json(document["schedule"])
        if broken := plan_violations(plan, work, gpu):
            raise Doubt(broken[0])
    except Doubt as doubt:
        warn(f"mhagen: {gpu_record_path(circumstances)} is not used: {doubt}")
        return None
    return plan


def keep_gpu_record(circumstances: GpuCircumstances, found: Json) -> Path:
    """Keep what was found, in place of what was before.

    Raises   OSError, and InputError if the user has no home
    """
    folder = settings.cache_dir() / FOLDER
    create_private(folder)
    path = folder / f"{digest(circumstances)}.json"
    document = {"format": FORMAT, "for": asdict(circumstances), **found}
    replace_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n", mode=0o600)
    return path
