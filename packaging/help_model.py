"""What `hive --help` says, as data: the one source of the manual pages and the completions, so that
they can not differ from the command."""

import os
import re
import subprocess
from dataclasses import dataclass, field

COLUMN = 30  # where the explanations begin
SECTIONS = ("Positionals:", "Options:", "Subcommands:")
# Left of the explanation: names, argument, choices or another check of the value, default.
LEFT = re.compile(r"^(?P<names>[^\s=]+)(?: (?P<argument>[^:={]+?))?"
                  r"(?::\{(?P<choices>[^}]*)\}|:[^={]*)?(?:=(?P<default>\S*))?$")


@dataclass
class Entry:
    names: list
    text: str
    argument: str = ""
    default: str = ""
    choices: list = field(default_factory=list)
    required: bool = False

    @property
    def long(self):
        return next((name for name in self.names if name.startswith("--")), self.names[0])


@dataclass
class Command:
    words: list  # ["hive", "fault", "kill-cell"]
    summary: str = ""
    footer: str = ""
    positionals: list = field(default_factory=list)
    options: list = field(default_factory=list)
    commands: list = field(default_factory=list)

    @property
    def page(self):
        return "-".join(self.words)


def parse_entry(left, text):
    left = re.sub(r" (Excludes|Needs):( --?[\w-]+)+", "", left)
    # CLI11's remark on the variable that stands in for an option that is not given.
    variable = re.search(r" \(Env:(\w+)\)", left)
    if variable:
        left = left.replace(variable[0], "")
        text = f"{text}; else `${variable[1]}`"
    required = left.endswith(" REQUIRED")
    left = left.removesuffix(" REQUIRED").removesuffix(" ...")
    found = LEFT.match(left)
    if not found:
        raise ValueError(f"not understood in the help: {left!r}")
    choices = found["choices"].split(",") if found["choices"] else []
    argument = "|".join(choices) or found["argument"] or ""
    return Entry(found["names"].split(","), text, argument, found["default"] or "", choices, required)


def parse_section(lines):
    """The entries from the first line on, up to an empty one."""
    entries = []
    while lines and lines[0].strip():
        line = lines.pop(0)
        if lines and lines[0].startswith(" " * COLUMN):  # too long for a line of its own
            left, text = line, lines.pop(0)
        else:
            left, text = line[:COLUMN], line[COLUMN:]
        entries.append(parse_entry(left.strip(), text.strip()))
    return entries


def read(program, words=("hive",)):
    """The command and all below it. The program is executed once for each."""
    environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
    done = subprocess.run([program, *words[1:], "--help"], check=True, capture_output=True, text=True,
                          env=environment)
    lines = done.stdout.splitlines()
    command = Command(list(words), summary=lines.pop(0).rstrip("."))
    entries = {}
    while lines:
        line = lines.pop(0)
        if line in SECTIONS:
            entries[line] = parse_section(lines)
        elif line and not line.startswith("Usage:"):
            command.footer += line + "\n"
    command.positionals = entries.get("Positionals:", [])
    command.options = entries.get("Options:", [])
    for entry in entries.get("Subcommands:", []):
        below = read(program, [*words, entry.names[0]])
        if below.footer == command.footer:  # inherited
            below.footer = ""
        command.commands.append(below)
    return command


def exit_statuses(root):
    """{number: meaning} as the footer of `hive --help` has them."""
    text = re.sub(r"\([^)]*\)", "", " ".join(root.footer.split()))
    return {int(number): meaning.strip()
            for number, meaning in re.findall(r"(?:^|[:;.] )(\d+) ([^;.]+)", text)}
