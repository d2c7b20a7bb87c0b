#!/usr/bin/env bash
# A release for this machine: the stripped program, its manual, completions and licences in one archive.
#
#   scripts/release.sh [TARGET]      into dist/rlhf-VERSION-TARGET.tar.gz, and its sha256 beside it
#
# wgpu finds the Vulkan loader when it runs, so the program needs no library but libc. It is linked to glibc: a static
# musl binary cannot load a GPU's driver.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:-$(rustc -vV | sed -n 's/^host: //p')}
cargo build --release --locked --target "$target"
built=target/$target/release/rlhf
[ -e "$built" ] || built=$built.exe
version=$(cargo metadata --no-deps --format-version 1 | python3 -c 'import json, sys; print(next(p["version"] for p in json.load(sys.stdin)["packages"] if p["name"] == "rlhf"))')
name=rlhf-$version-$target
rm -rf "dist/$name" && mkdir -p "dist/$name"
cp "$built" README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT "dist/$name"
if [ "$target" = "$(rustc -vV | sed -n 's/^host: //p')" ]; then # it can be run here
    "$built" man "dist/$name/man"
    mkdir "dist/$name/completions"
    for shell in bash elvish fish powershell zsh; do "$built" completions "$shell" >"dist/$name/completions/rlhf.$shell"; done
fi
tar -C dist -czf "dist/$name.tar.gz" "$name"
python3 -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest(), "", sys.argv[1].split("/")[-1])' "dist/$name.tar.gz" | tee "dist/$name.tar.gz.sha256"
