#!/usr/bin/env bash
# Everything there is to measure on a GPU, in under 8 minutes on one H200, into one JSON file.
#
#     bash bench/gpu.sh [OUT.json]             # default: gpu.json
#     bash bench/gpu.sh --cpu-smoke OUT.json   # every step at a tiny size on the processor: does the script itself work?
#
# Runs from a checkout; torch, transformers, safetensors, pydantic and (for training) accelerate must be importable by
# $PYTHON (default: python3), and need not be installed: PYTHONPATH is kept. Each step is a process of its own under a
# time limit (seconds, first word of its line; they add up to 445). One that fails or is too slow is a reason in the
# JSON file ("status", "said"), beside the rows that it had measured by then ("result"), and stops no other.
#
# Latents: "difference" of a row in a float32 step is held to 1e-3 of the page's (reference_model/generate.py); the
# verdict is "latents_equal" of the step. In bfloat16 it is only told.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-python3}"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
smoke=
[ "${1:-}" = --cpu-smoke ] && { smoke=yes; shift; }
out="${1:-gpu.json}"

"$python" - <<'CHECK' || exit 1
import importlib.util
missing = [name for name in ("torch", "transformers", "safetensors", "pydantic") if not importlib.util.find_spec(name)]
if missing:
    raise SystemExit(f"bench/gpu.sh: no {', '.join(missing)} here: install them, or put them on PYTHONPATH")
CHECK
if [ -n "$smoke" ]; then
    where=(--device cpu --threads 1) size=(--size tiny) few=(--batch 2 --patches 2) codecs=(--size small --batch 1 --frames 1)
    training=(--seconds 4)
    record=paired both=paired all=paired slower=10  # a processor has no graphs, and compiling takes it minutes
else
    "$python" -c "import torch; raise SystemExit(not torch.cuda.is_available())" || {
        echo "bench/gpu.sh: this torch sees no GPU, so there is nothing to measure; --cpu-smoke tries the script" >&2; exit 0; }
    where=(--device cuda) size=(--size release) few=(--batch 1 4 16 --patches 25) codecs=(--size release --batch 1 8 32)
    training=(--samples 8)
    record=graphs both=both all=all slower=1
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

step() {  # LIMIT NAME SCRIPT OPTIONS...: one process; what it says goes to NAME.log, what it measures to NAME.json
    local limit="$(($1 * slower))" name="$2" script="bench/$3" began="$SECONDS" status
    shift 3
    timeout --kill-after=5 "$limit" "$python" "$script" "$@" --json "$work/$name.json" > "$work/$name.log" 2>&1
    status=$?
    printf '%s\t%s\t%s\t%s\n' "$name" "$status" "$((SECONDS - began))" "$limit" >> "$work/steps"
    echo "$name: status $status, $((SECONDS - began)) of $limit s" >&2
}
generation() {  # LIMIT NAME OPTIONS...
    step "$1" "$2" generation_speed.py "${where[@]}" "${size[@]}" "${few[@]}" "${@:3}"
}

generation 45 plain --dtype bfloat16 --variants loop
generation 45 paired_heads --dtype bfloat16 --variants paired
generation 45 graphs --dtype bfloat16 --variants "$record"
generation 75 compiled_graphs --dtype bfloat16 --variants "$both"
generation 75 everything --dtype bfloat16 --variants "$all"
generation 50 latents_equal --dtype float32 --variants loop paired "$record" --batch 1 4
step 40 codecs render_speed.py "${where[@]}" "${codecs[@]}"
step 70 training training_speed.py --memory "${training[@]}" "${size[@]}" "${where[@]:0:2}"

"$python" - "$work" "$out" <<'MERGE'
import json, os, sys
from pathlib import Path

import torch

work, out = Path(sys.argv[1]), Path(sys.argv[2])
gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
found = {"gpu": gpu, "torch": torch.__version__, "cuda": torch.version.cuda, "python": sys.version.split()[0], "steps": {}}
for line in (work / "steps").read_text().splitlines():
    name, status, seconds, limit = line.split("\t")
    said = "ok" if status == "0" else f"over its {limit} s" if status in ("124", "137") else "failed"
    step = found["steps"][name] = {"status": said, "seconds": int(seconds)}
    if said != "ok":
        step["said"] = (work / f"{name}.log").read_text(errors="replace")[-2000:]
    if (work / f"{name}.json").is_file():
        step["result"] = json.loads((work / f"{name}.json").read_text())
    if name == "latents_equal" and "result" in step:
        differences = [row["difference"] for row in step["result"]["rows"] if row["difference"] is not None]
        step["latents_equal"] = bool(differences) and max(differences) < 1e-3
part = out.with_name(f".{out.name}.part")
part.write_text(json.dumps(found, indent=1) + "\n")
os.replace(part, out)
MERGE
echo "$out"
