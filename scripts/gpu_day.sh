#!/usr/bin/env bash
# What a few minutes on a real GPU can tell, in one call: figures of ours and of PyTorch, most valuable first.
#
#   scripts/gpu_day.sh build        on a machine with the tools: puts the programs into .gpu_day/, which is carried along
#   scripts/gpu_day.sh run [OUT]    on the machine with the GPU: writes OUT/gpu_day.json and OUT/gpu_day.log ($OUT, or .)
#
# Every step has its own limit of time, and a step that fails or is missing something says so and costs only itself; all
# of them together end within LIMIT seconds (520), and a step that finds no time left says so too.
# `run` does without PyTorch where there is none. DEVICE=cpu tries the script out without a GPU.
set -uo pipefail
cd "$(dirname "$0")/.."

build() {
    set -e
    mkdir -p .gpu_day
    cargo build --release --locked
    cargo test --release --locked --test it --no-run
    cp target/release/rlhf .gpu_day/rlhf
    cp "$(ls -t target/release/deps/it-* | grep -v '\.d$' | head -1)" .gpu_day/it
    ls -l .gpu_day
}

# step NAME SECONDS COMMAND…: runs it, and adds {"step","rc","seconds","out"} to the figures
step() {
    local name=$1 limit=$2 rc begin
    shift 2
    limit=$((limit < ${LIMIT:-520} - SECONDS ? limit : ${LIMIT:-520} - SECONDS))
    if ((limit < 5)); then echo "$name: no time left" | tee -a "$log" && return; fi
    begin=$(date +%s.%N)
    echo "== $name: $*" >>"$log"
    timeout -k 5 "$limit" "$@" >"$scratch/out" 2>>"$log"
    rc=$?
    NAME=$name RC=$rc BEGIN=$begin python3 - "$scratch/out" >>"$scratch/steps" <<'P'
import json, os, sys, time
text = open(sys.argv[1], errors="replace").read()
def value(text):
    try: return json.loads(text)
    except ValueError: pass
    try: return [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError: return text[-20000:]
print(json.dumps({"step": os.environ["NAME"], "rc": int(os.environ["RC"]), "seconds": round(time.time() - float(os.environ["BEGIN"]), 1), "out": value(text)}))
P
    cat "$scratch/out" >>"$log"
    echo "$name: exit $rc (at $SECONDS s)"
}

run() {
    out=${1:-${OUT:-.}}
    scratch=$(mktemp -d)
    log=$out/gpu_day.log device=${DEVICE:-gpu}
    trap 'python3 -c "import json, sys; json.dump([json.loads(l) for l in open(sys.argv[1])], open(sys.argv[2], \"w\"), indent=1)" "$scratch/steps" "$out/gpu_day.json"; rm -rf "$scratch"' EXIT
    : >"$log" >"$scratch/steps"
    # the loaders (libvulkan1 libegl1 libglvnd0 libopengl0 libgl1 libglx0 libgles2) and the driver of NVIDIA's images,
    # where the system does not know them
    for deb in .gl/*.deb; do [ -e "$deb" ] && dpkg -x "$deb" / && ldconfig; done
    local icd=/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json
    [ -e "$icd" ] && [ -z "${VK_DRIVER_FILES:-}" ] && export VK_DRIVER_FILES=$icd
    local ours="$PWD/.gpu_day/rlhf" torch=scripts/peers/gpu_torch.py
    export PYTHONUNBUFFERED=1 REQUIRE_GPU=1

    step card 20 nvidia-smi -q -d CLOCK,POWER,MEMORY
    step adapters 20 "$ours" devices --json
    for size in tiny small gpt2-124M; do
        for precision in f32 bf16; do
            step "train-$size-$precision" 60 "$ours" bench train --size "$size" --precision "$precision" --device "$device" --json
        done
        step "torch-train-$size" 60 python3 $torch train "$size" --device "$device"
    done
    for precision in f32 bf16; do
        step "profile-gpt2-124M-$precision" 40 "$ours" bench train --size gpt2-124M --precision "$precision" --device "$device" --profile
    done
    step generate-tiny 40 "$ours" bench generate --size tiny --device "$device" --json
    step generate-gpt2-124M 60 "$ours" bench generate --size gpt2-124M --device "$device" --json
    step right 120 .gpu_day/it rung
    step products 120 "$ours" bench matmul --device "$device" --retune --json
    step torch-products 60 python3 $torch products --device "$device"
    step torch-compiled 120 python3 $torch train gpt2-124M --device "$device" --compile
    for precision in f32 bf16; do
        step "ppo-small-$precision" 40 "$ours" bench ppo --size small --precision "$precision" --device "$device" --json
    done
    step kernels 90 "$ours" bench --device "$device" --json
    step all-gpu-tests 120 .gpu_day/it gpu
}

case "${1:-}" in
    build) build ;;
    run) run "${2:-}" ;;
    *) sed -n '2,9p' "$0" && exit 2 ;;
esac
