"""Check the parameters of notebooks and profiles before anything runs."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from dnastudy.files import InputError, nearest, sha256

PROJECT = Path(__file__).resolve().parents[2]
NOTEBOOKS = PROJECT / "notebooks"
PROFILES = PROJECT / "workflow" / "profiles"
RENAMED: dict[str, str] = {}  # parameters of older notebooks: what each is called now
FLOOR_NAMES = re.compile(r"uniform|copy|(Laplace )?\d+-gram")  # names of floors, which no model's folder may have
_TYPES = {"int": int, "float": float, "str": str, "bool": bool}
_MEND = {
    "float": "; in YAML a number in scientific notation needs a point: 1.0e-4",
    "str": "; quote it in YAML, or pass it to papermill with -r NAME VALUE, which keeps text as text",
}
DATASETS = ("dataset", "repeats", "tracks", "text", "variants_dataset")  # parameters that may name a manifest
MODEL_FIELDS = {
    "ngram": ("order", "smoothing", "reverse_complement"),
    "lstm": ("form", "layers", "width", "embedding", "dropout"),
    "gru": ("form", "layers", "width", "embedding", "dropout"),
    "gpt": ("form", "layers", "width", "heads", "dropout"),
    "bert": ("tokenizer", "layers", "width", "heads", "dropout"),
}
COUNTING_FIELDS = ("validation_windows", "window", "train_bases", "seed")
TRAINING_FIELDS = (
    *COUNTING_FIELDS,
    *"steps epochs batch accumulate sampling end masked reverse_complement learning_rate warmup schedule".split(),
    *"weight_decay clip validate_every patience keep checkpoint_every precision compile".split(),
)


def listed(value: str) -> list[str]:
    """What stands between the commas of a parameter, without the spaces about it."""
    return [part.strip() for part in value.split(",") if part.strip()]


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's ``parameters`` cell."""

    name: str
    type: str
    default: object
    help: str


def declared_parameters(notebook: str | Path) -> dict[str, Parameter]:
    """Parameters of a notebook (a path, or a name in notebooks/), in order: ``name: type = default  # help`` a line."""
    path = Path(notebook)
    if path.suffix != ".ipynb":
        path = NOTEBOOKS / f"{notebook}.ipynb"
    if not path.is_file():
        known = sorted(p.stem for p in NOTEBOOKS.glob("*.ipynb"))
        raise InputError(f"{path.name}: no such notebook; {nearest(path.stem, known)}")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", [])]
    if len(sources) != 1:
        raise InputError(f"{path.name}: expected one cell tagged 'parameters', found {len(sources)}")
    found = {}
    for number, line in enumerate(sources[0].splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        code, _, text = line.partition("  # ")
        try:
            (node,) = ast.parse(code).body
            parameter = Parameter(node.target.id, node.annotation.id, ast.literal_eval(node.value), text.strip())
            _TYPES[parameter.type]
        except (SyntaxError, ValueError, AttributeError, KeyError):
            raise InputError(
                f"{path.name}, parameters cell, line {number}: expected 'name: int|float|str|bool = default  # help', "
                f"found {line!r}"
            ) from None
        found[parameter.name] = parameter
    return found


def notebook_hash(name: str) -> str:
    """SHA-256 over the cells of a notebook, whatever outputs stand in it."""
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return hashlib.sha256(json.dumps([(c["cell_type"], c["source"]) for c in cells]).encode()).hexdigest()


def check_parameters(values: dict, declared: dict[str, Parameter], where: str) -> dict:
    """The defaults with ``values`` on top, no name unknown; an int may stand for a float or str, else types agree."""
    checked = {name: parameter.default for name, parameter in declared.items()}
    for name, value in values.items():
        if name not in declared and RENAMED.get(name) in declared:
            raise InputError(f"{where}: parameter {name!r} is called {RENAMED[name]!r} now")
        if name not in declared:
            raise InputError(f"{where}: there is no parameter {name!r}; {nearest(name, declared)}")
        expected = declared[name].type
        if type(value) is int and expected in ("float", "str"):
            value = _TYPES[expected](value)  # papermill's -p makes an int of "22"
        if type(value) is not _TYPES[expected]:
            mend = _MEND.get(expected, "") if isinstance(value, str) or expected == "str" else ""
            found = f"found {value!r} ({type(value).__name__}){mend}"
            raise InputError(f"{where}: parameter {name!r} must be of type {expected}, {found}")
        checked[name] = value
    return checked


def load_profile(name: str | Path) -> dict[str, dict]:
    """The checked parameters of each job of a profile: a YAML file, by path or by its name in workflow/profiles/.

    A job is a notebook's name, or ``notebook/run`` where one runs several times (``04_train_language_model/lstm``).
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = PROFILES / f"{name}.yaml"
    if not path.is_file():
        raise InputError(f"{name}: no such profile; {nearest(name, sorted(p.stem for p in PROFILES.glob('*.yaml')))}")
    try:
        profile = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{path.name}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(profile, dict) or not profile:
        raise InputError(f"{path.name}: expected a mapping from notebooks to their parameters, found {profile!r}")
    jobs = {}
    for job, values in profile.items():
        if not isinstance(job, str) or not isinstance(values, dict | None):
            raise InputError(f"{path.name}, {job}: expected parameters as 'name: value' lines, found {values!r}")
        jobs[job] = check_parameters(values or {}, declared_parameters(job.split("/")[0]), f"{path.name}, {job}")
    return jobs


def language_model(parameters: dict) -> dict:
    """Turn the parameters of 04_train_language_model into the configuration that ``models.train_from_config`` takes."""
    kind = parameters["model"]
    if kind not in MODEL_FIELDS:
        raise InputError(f"model={kind!r}: no such kind of model; {nearest(kind, MODEL_FIELDS)}")
    model = {"kind": kind} | {name: parameters[name] for name in MODEL_FIELDS[kind]}
    if kind in ("gpt", "bert"):
        model["context"] = parameters["window"]
    fields = COUNTING_FIELDS if kind == "ngram" else TRAINING_FIELDS
    return {"model": model, "training": {name: parameters[name] for name in fields}}


def upstream(jobs: dict[str, dict], job: str) -> dict[str, list[str]]:
    """The jobs whose results a job reads, by the parameter that names them or JSON files of theirs, between commas.

    Left empty, ``corpus`` is the first run of 01, and ``models`` are all causal runs of 04 on the same corpus.
    """
    notebooks = {name.split("/")[0] for name in jobs}
    found = {}
    for name, value in jobs[job].items():
        named = [part.strip() for part in value.split(",")] if isinstance(value, str) and value else []
        named = [
            part.rpartition("/")[0] if part.endswith(".json") else part for part in named if not part.startswith("hf:")
        ]
        for part in named:
            if part not in jobs and part.split("/")[0] in notebooks:
                raise InputError(f"{job}: {name} names {part}, which isn't in the profile; {nearest(part, jobs)}")
        inside = [part in jobs for part in named]
        if any(inside) and not all(inside):
            raise InputError(f"{job}: {name} names jobs and other folders ({value}); name either, not both")
        if any(inside):
            found[name] = named
    corpora = [name for name in jobs if name.startswith("01_")]
    if jobs[job].get("corpus") == "" and corpora:
        found["corpus"] = corpora[:1]
    if jobs[job].get("models") == "":
        mine = found.get("corpus")
        causal = [n for n in jobs if n.startswith("04_") and jobs[n].get("model") != "bert"]
        found["models"] = [n for n in causal if upstream(jobs, n).get("corpus") == mine]
    return {name: runs for name, runs in found.items() if runs}


def located(jobs: dict[str, dict], job: str, results: str) -> dict[str, str]:
    """The parameters in which a job names others (see `upstream`), the folder of all results before each name."""
    found = {}
    for name, runs in upstream(jobs, job).items():
        named = [part.strip() for part in jobs[job][name].split(",")] if jobs[job][name] else runs
        found[name] = ",".join(part if part.startswith("hf:") else f"{results}/{part}" for part in named)
    return found


def package_hash(*rooms: str) -> str:
    """SHA-256 over the sources of the package, or of the rooms and modules named, with their names."""
    root = PROJECT / "dnastudy"
    parts = [root / room for room in rooms] or [root]
    digest = hashlib.sha256()
    for path in sorted(p for part in parts for p in (part.rglob("*.py") if part.is_dir() else [part])):
        digest.update(f"{path.relative_to(root).as_posix()} {sha256(path)}\n".encode())
    return digest.hexdigest()
