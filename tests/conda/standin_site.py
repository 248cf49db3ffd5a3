"""The `sitecustomize` of each environment of the stand-in: it writes down what its interpreter was started with."""

import json
import sys
from pathlib import Path

with Path(sys.prefix, "started.jsonl").open("a", encoding="utf-8") as stream:
    stream.write(json.dumps(sys.orig_argv) + "\n")
