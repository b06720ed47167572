"""Data manifests: what a dataset is, where it may come from, what its content must hash to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints, ValidationError, model_validator

from dnastudy.files import InputError, nearest
from dnastudy.genes.fasta import canonical_contig

MANIFESTS = Path(__file__).resolve().parents[2] / "data_manifests"
Text = Annotated[str, StringConstraints(min_length=1)]
Md5 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Sha1 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# These become file names in the target folder, so nothing in them may lead out of it.
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Contig(_Strict):
    """A sequence by its content: the SAM M5 tag (MD5 of the upper-case sequence) and its length in bases."""

    m5: Md5
    length: PositiveInt


class Archive(_Strict):
    """A wheel or sdist of the package index: read as an archive, never built or installed."""

    project: Text
    version: Text
    sha256: Sha256


class Source(_Strict):
    """One place a member may come from; `sha256` and `md5` are of its bytes before unpacking."""

    archive: FileName | None = None
    path: Text | None = None
    url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$")] | None = None
    file: Text | None = None
    sha256: Sha256 | None = None
    md5: Md5 | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Source:
        if sum(place is not None for place in (self.archive, self.url, self.file)) != 1:
            raise ValueError("a source is exactly one of archive + path, url, file")
        if (self.archive is None) != (self.path is None):
            raise ValueError("archive and path (the exact name inside the archive) go together")
        return self

    def __str__(self) -> str:
        return f"{self.archive}:{self.path}" if self.archive else self.url or f"file {self.file}"


class Member(_Strict):
    """One file of a dataset: its identity, and its sources in the order in which they are tried."""

    kind: Literal["sequence", "annotation", "intervals", "variants", "table", "text"]
    description: str = ""
    contigs: dict[str, Contig] = {}
    sha256: Sha256 | None = None
    md5: Md5 | None = None
    git_blob: Sha1 | None = None
    sources: Annotated[list[Source], Field(min_length=1)]

    @model_validator(mode="after")
    def _has_identity(self) -> Member:
        if self.kind == "sequence" and not self.contigs:
            raise ValueError("a sequence needs contigs, each with m5 and length")
        if not self.identity:
            raise ValueError("no identity: give sha256, md5, git_blob or contigs")
        return self

    @property
    def identity(self) -> dict:
        """What the content must be, as plain values."""
        return self.model_dump(include={"contigs", "sha256", "md5", "git_blob"}, exclude_defaults=True)


class Manifest(_Strict):
    """A dataset: what it is, under which terms, and its members by file name."""

    name: FileName
    title: Text
    description: Text
    licence: Text
    citation: str = ""
    assembly: str = ""
    archives: dict[FileName, Archive] = {}
    members: Annotated[dict[FileName, Member], Field(min_length=1)]

    @property
    def contigs(self) -> dict[str, str]:
        """The member that each contig stands in, by canonical name."""
        return {canonical_contig(contig): name for name, its in self.members.items() for contig in its.contigs}

    @model_validator(mode="after")
    def _archives_exist(self) -> Manifest:
        for name, member in self.members.items():
            for source in member.sources:
                if source.archive and source.archive not in self.archives:
                    near = nearest(source.archive, self.archives)
                    raise ValueError(f"{name}: {source.archive} is not among archives; {near}")
        return self


def list_manifests() -> list[str]:
    """Names of the manifests that come with the study."""
    return sorted(path.stem for path in MANIFESTS.glob("*.yaml"))


def load_manifest(name: str | Path) -> Manifest:
    """Read and validate a manifest."""
    path = manifest_path(name)
    try:
        return Manifest.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise InputError(f"{path}: {_first_problem(error)}") from None


def manifest_path(name: str | Path) -> Path:
    """The file of a manifest: one of those that come with the study, or a user's own."""
    path, known = Path(name), list_manifests()
    if str(name) in known:
        return MANIFESTS / f"{name}.yaml"
    if path.is_file():
        return path
    if "." in str(name) or "/" in str(name):
        raise InputError(f"{path}: no such file; check its name and folder")
    raise InputError(f"no manifest {str(name)!r}; {nearest(name, known)}")


def _first_problem(error: ValidationError) -> str:
    first, *others = error.errors()
    field = ".".join(str(part) for part in first["loc"]) or "the manifest"
    more = f" (and {len(others)} more)" if others else ""
    if first["type"] == "extra_forbidden":
        known = {key for model in (Manifest, Member, Source, Archive, Contig) for key in model.model_fields}
        return f"{field}: unknown field; {nearest(first['loc'][-1], sorted(known))}{more}"
    found = "" if first["type"] == "missing" else f", found {str(first['input'])[:80]!r}"
    return f"{field}: {first['msg'][:1].lower()}{first['msg'][1:]}{found}{more}"
