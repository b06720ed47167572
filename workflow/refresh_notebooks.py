"""Execute every notebook with its defaults, in place: outputs and record are what the tests compare with."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from clean_notebook import clean, write
from run_notebook import run_notebook

from dnastudy.files import InputError, write_json
from dnastudy.study import load_record
from dnastudy.study.parameters import NOTEBOOKS, PROJECT

REFERENCES = PROJECT / "tests" / "notebooks" / "records.json"


def main(names: list[str]) -> int:
    paths = [NOTEBOOKS / f"{name}.ipynb" for name in names] or sorted(NOTEBOOKS.glob("*.ipynb"))
    references = json.loads(REFERENCES.read_text()) if REFERENCES.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(paths, 1):
            executed = Path(folder) / path.name
            label = f"[{number}/{len(paths)}] {path.stem}"
            try:
                seconds = run_notebook(path.stem, executed, {}, profile="smoke", threads=1, label=label)
            except InputError as error:
                print(f"dnastudy: error: {error}", file=sys.stderr)
                return 1
            write(clean(executed), path)
            metrics = load_record(PROJECT / "results" / "smoke" / path.stem)["metrics"]
            references[path.stem] = {name: metric["value"] for name, metric in metrics.items()}
            print(f"{label}: done in {seconds:.0f} s", flush=True)
    write_json(REFERENCES, dict(sorted(references.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
