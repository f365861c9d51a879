"""Writes the manual pages: make_man.py HIVE VERSION TEXTS OUTPUT

Synopsis, options and the meaning of exit statuses come from `hive --help`; TEXTS has a file of
prose for each page, in a markup of six rules:
  a line in capitals        begins a section; "EXIT STATUS: 0 1" and "SEE ALSO: run ps" name what
                            else goes into it
  an empty line             ends a paragraph
  four spaces               lines to be shown as they are
  = TERM                    the paragraph below explains TERM
  `words`                   as to be typed
  *WORD*                    to be replaced
Prose that mentions an option that there is not, and a command without prose, end the build.
"""

import gzip
import pathlib
import re
import sys

import help_model

SECTION = re.compile(r"^[A-Z][A-Z ]+(:.*)?$")


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("^", "\\(ha")
    return re.sub(r"(?m)^([.'])", r"\\&\1", text)


def inline(text):
    text = escape(text)
    text = re.sub(r"`([^`]+)`", r"\\fB\1\\fR", text)
    return re.sub(r"\*([^*\s]+)\*", r"\\fI\1\\fR", text)


def paragraphs(lines):
    """Prose as troff."""
    out = []
    for block in re.split(r"\n\s*\n", "\n".join(lines).strip("\n")):
        if not block.strip():
            continue
        rows = block.split("\n")
        if rows[0].startswith("    "):
            out += [".PP", ".RS 4", ".nf", *(escape(row[4:]) for row in rows), ".fi", ".RE"]
        elif rows[0].startswith("= "):
            out += [".TP", inline(rows[0][2:]), *(inline(row.strip()) for row in rows[1:])]
        else:
            out += [".PP", *(inline(row) for row in rows)]
    return out


def sections(text):
    """[(title, rest of its line, lines)]"""
    found = []
    for line in text.splitlines():
        if SECTION.match(line):
            title, _, rest = line.partition(":")
            found.append((title, rest.split(), []))
        elif found:
            found[-1][2].append(line)
        elif line.strip():
            raise ValueError(f"before the first section: {line}")
    return found


def argument_of(entry):
    return f" \\fI{escape(entry.argument)}\\fR" if entry.argument else ""


def synopsis(command):
    if command.commands:
        if len(command.words) == 1:
            yield ".B hive\n.I COMMAND\n[\\fIOPTIONS\\fR]"
        else:
            yield from (line for below in command.commands for line in synopsis(below))
            return
    words = [f".B {escape(' '.join(command.words))}"]
    if not command.commands:
        for option in command.options:
            if option.long == "--help":
                continue
            text = f"\\fB{escape(option.long)}\\fR{argument_of(option)}"
            words.append(text if option.required else f"[{text}]")
        words += [f"\\fI{escape(p.argument or p.names[0])}\\fR" for p in command.positionals]
    else:
        words.append("\\fB\\-\\-help\\fR | \\fB\\-\\-version\\fR")
    yield "\n".join(words)


def described(entry):
    name = ", ".join(f"\\fB{escape(name)}\\fR" for name in entry.names)
    if not entry.names[0].startswith("-"):
        name = f"\\fI{escape(entry.argument or entry.names[0])}\\fR"
    else:
        name += argument_of(entry)
    text = entry.text.rstrip(".") + "."
    if entry.default:
        text += f" The default is {entry.default}."
    return [".TP", name, inline(text)]


def options(command):
    out = [line for entry in command.positionals for line in described(entry)]
    out += [line for entry in command.options for line in described(entry)]
    for below in command.commands:
        if len(command.words) > 1:
            out += [f".SS {escape(' '.join(below.words))}", inline(below.summary + "."), *options(below)]
    return out


def options_known(command):
    known = {name for entry in command.options for name in entry.names}
    return known.union(*(options_known(below) for below in command.commands))


def page(command, root, text, version):
    statuses = help_model.exit_statuses(root)
    pages = {below.words[1] for below in root.commands}
    unknown = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text)) - options_known(root)
    if unknown:
        raise ValueError(f"{command.page}: no such option: {', '.join(sorted(unknown))}")

    name = command.page
    summary = command.summary[0].lower() + command.summary[1:]
    out = [f'.TH {escape(name.upper())} 1 "" "Hive {version}" "Hive"', ".nh", ".ad l",
           ".SH NAME", f"{escape(name)} \\- {escape(summary)}", ".SH SYNOPSIS"]
    for i, line in enumerate(synopsis(command)):
        out += [".br"] * (i > 0) + [line]
    titles = set()
    for title, rest, lines in sections(text):
        titles.add(title)
        if title == "EXIT STATUS":
            out += [".SH OPTIONS", *options(command)]
        out.append(f".SH {title}")
        if title == "EXIT STATUS":
            for number in map(int, rest):
                meaning = statuses[number]
                out += [".TP", f"\\fB{number}\\fR", inline(meaning[0].upper() + meaning[1:] + ".")]
        if title == "SEE ALSO":
            if not set(rest) <= pages:
                raise ValueError(f"{name}: no such pages: {set(rest) - pages}")
            others = sorted(f"hive-{other}" for other in rest)
            if command is not root:
                others.insert(0, "hive")
            out.append(", ".join(f"\\fB{escape(other)}\\fR(1)" for other in others))
        out += paragraphs(lines)
        if title == "DESCRIPTION":
            if command is not root:
                out += paragraphs(command.footer.splitlines())
            else:
                out.append(".SH COMMANDS")
                for below in root.commands:
                    out += [".TP", f"\\fB{escape(below.page)}\\fR(1)", inline(below.summary + ".")]
    missing = {"DESCRIPTION", "EXIT STATUS", "EXAMPLES", "SEE ALSO"} - titles
    if missing:
        raise ValueError(f"{name} lacks {', '.join(sorted(missing))}")
    return "\n".join(out) + "\n"


def main(program, version, texts, output):
    texts, output = pathlib.Path(texts), pathlib.Path(output)
    root = help_model.read(program)
    commands = [root, *root.commands]
    strangers = {path.stem for path in texts.glob("*.txt")} - {command.page for command in commands}
    if strangers:
        raise ValueError(f"prose for no command: {', '.join(sorted(strangers))}")
    lacking = [command.page for command in commands if not (texts / f"{command.page}.txt").exists()]
    if lacking:
        raise ValueError(f"write the prose of its manual page: {texts}/{lacking[0]}.txt")
    output.mkdir(parents=True, exist_ok=True)
    for command in commands:
        text = (texts / f"{command.page}.txt").read_text()
        with open(output / f"{command.page}.1.gz", "wb") as file:
            # Without name and time, so that the same text gives the same bytes.
            with gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
                packed.write(page(command, root, text, version).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
