"""Goes through all of shared/cases and prints a line for each: held, or why not.

    python3 scripts/check_cases [NAME…]      with target/release/rlhf, or RLHF=BINARY; SHARED=FOLDER for another shared

Standard library only; checks that need more (tokenizers, transformers) are skipped without it, and say so.
Exit 1 if one does not hold, if a case has no check, or if nothing was checked.
"""
import os, shutil, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import alignment, attack, files, real  # noqa: F401 (they register their checks)
from common import CASES, CHECKS, Skip, scratch


def main(wanted):
    there = {f"{g.name}/{c.name}" for g in CASES.iterdir() for c in g.iterdir() if c.is_dir() and g.name != "attack"}
    missing = [] if wanted else sorted(there - set(CHECKS))
    passed, failed, skipped = 0, len(missing), 0
    for name in missing:
        print(f"FAILED  {name}: no check for it")
    for name in sorted(CHECKS):
        if wanted and not any(w in name for w in wanted):
            continue
        folder = scratch(name.split(":")[0])
        start = time.time()
        try:
            CHECKS[name](folder)
            passed += 1
            print(f"held    {name} ({time.time() - start:.1f} s)", flush=True)
        except Skip as why:
            skipped += 1
            print(f"skipped {name}: {why}", flush=True)
        except Exception as why:
            failed += 1
            kind = "" if isinstance(why, AssertionError) else f"{type(why).__name__}: "
            print(f"FAILED  {name}: {kind}{' '.join(str(why).split())[:500]}", flush=True)
        shutil.rmtree(folder.parent, ignore_errors=True)
    print(f"cases: {passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(bool(failed or not passed))


main(sys.argv[1:])
