"""A file includes only what its layer may see; programs see include/hive only."""

import pathlib
import re
import sys

# Who may include whose headers, by the first folder of the include path.
ALLOWED = {
    "base": {"base", "hive"},
    "machine": {"base", "hive", "machine"},
    "proto": {"base", "hive", "machine", "proto"},
    "cell": {"base", "hive", "machine", "proto", "cell"},
    "lib": {"base", "hive", "machine", "proto", "lib"},
    "node": {"base", "hive", "machine", "node"},
    "monitor": {"base", "hive", "machine", "proto", "monitor"},
    "cli": {"base", "hive", "machine", "proto", "monitor", "cli"},
}
OURS = set(ALLOWED) | {"hive"}
# Parts of a layer that stay free of the host, so that a simulator can drive them.
PURE = {"cell/rpc/rpc_core.cpp", "cell/rpc/rpc_core.h", "cell/rpc/message.h"}
INCLUDE = re.compile(r'^\s*#include\s+[<"]([^>"]+)[>"]', re.M)


def main(root):
    wrong = []
    for path in sorted((root / "src").rglob("*.[ch]*")):
        relative = path.relative_to(root / "src")
        layer = relative.parts[0]
        for name in INCLUDE.findall(path.read_text()):
            first = name.split("/")[0]
            if first in OURS and first not in ALLOWED.get(layer, set()):
                wrong.append(f"src/{relative} includes {name}")
            if str(relative) in PURE and ("linux" in name or name.startswith("sys/")):
                wrong.append(f"src/{relative} is protocol code and includes {name}")
    for path in sorted((root / "programs").rglob("*.[ch]*")):
        for name in INCLUDE.findall(path.read_text()):
            if name.split("/")[0] in OURS - {"hive"}:
                wrong.append(f"{path.relative_to(root)} includes {name}")
    for path in sorted((root / "include").rglob("*.h")):
        for name in INCLUDE.findall(path.read_text()):
            if name.split("/")[0] in OURS - {"hive"}:
                wrong.append(f"{path.relative_to(root)} includes {name}")
    print("\n".join(wrong) or "every include stays within its layer")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
