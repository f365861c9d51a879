"""Writes the completions for bash and zsh: make_completion.py HIVE TEMPLATES OUTPUT

Subcommands, options and choices come from `hive --help`. What kind of thing an option wants is
known by what the help calls its argument.
"""

import pathlib
import sys

import help_model

KINDS = {"NAME": "machine", "CELL": "cell", "N|all": "all", "S": "signal"}
# Options whose argument is called N, which mean a cell; others are just numbers.
CELL_OPTIONS = {"--cell"}
# Choices that the help has in prose. Each word must be there.
PROSE_CHOICES = {"--firewall": ["auto", "mmu", "mmu-windowed", "cooperative"]}


def kind_of(entry):
    """What completes the argument: "" is nothing, "=a b" these words."""
    choices = entry.choices
    if entry.long in PROSE_CHOICES:
        choices = PROSE_CHOICES[entry.long]
        missing = [word for word in choices if word not in entry.text.replace(",", "").split()]
        if missing:
            raise ValueError(f"{entry.long}: the help has no {', '.join(missing)}")
    if choices:
        return "=" + " ".join(choices)
    if entry.long in CELL_OPTIONS:
        return "cell"
    return KINDS.get(entry.argument, "")


def every(command):
    yield command
    for below in command.commands:
        yield from every(below)


def bash_tables(root):
    for command in every(root):
        key = " ".join(command.words[1:])
        words = [below.words[-1] for below in command.commands]
        options = [name for entry in command.options for name in entry.names if len(name) > 2]
        yield f"  [{key or 'hive'!r}]={' '.join(words + options)!r}"


def bash_values(root):
    for command in every(root):
        key = " ".join(command.words[1:])
        for entry in command.options + command.positionals:
            if entry.argument and key:
                name = entry.long if entry.long.startswith("-") else "argument"
                yield f"  [{key + ' ' + name!r}]={kind_of(entry)!r}"


def zsh_text(text):
    return text.replace("[", "(").replace("]", ")").replace(":", ";").replace("'", "’")


def zsh_value(entry):
    if not entry.argument:
        return ""
    kind = kind_of(entry)
    action = {"machine": "_hive_machines", "cell": "_hive_cells", "all": "(all)",
              "signal": "_signals"}.get(kind, f"({kind[1:]})" if kind.startswith("=") else "")
    return f":{zsh_text(entry.argument)}:{action or ' '}"


def zsh_commands(root):
    for command in every(root):
        if command is root:
            continue
        name = "_hive_" + "_".join(command.words[1:]).replace("-", "_")
        yield f"{name}() {{"
        yield "  _arguments -s \\"
        for entry in command.options:
            if entry.long == "--help":
                continue
            equals = "=" if entry.argument else ""
            yield f"    '{entry.long}{equals}[{zsh_text(entry.text)}]{zsh_value(entry)}' \\"
        if command.words[1:] == ["run"]:
            yield "    '1:program:_command_names -e' '*::arguments:_normal' \\"
        elif command.commands:
            yield "    '1:fault:(" + " ".join(below.words[-1] for below in command.commands) + ")' \\"
            yield "    '*::argument:->below' \\"
        else:
            for entry in command.positionals:
                yield f"    '1{zsh_value(entry)}' \\"
        yield "    '(- *)--help[Explain the command]'"
        if command.commands:
            yield "  [[ $state != below ]] || _call_function - ${0}_${words[1]//-/_}"
        yield "}"


def main(program, templates, output):
    templates, output = pathlib.Path(templates), pathlib.Path(output)
    output.mkdir(parents=True, exist_ok=True)
    root = help_model.read(program)
    tables = {
        "@WORDS@": "\n".join(bash_tables(root)),
        "@VALUES@": "\n".join(bash_values(root)),
        "@COMMANDS@": "\n".join(f"    '{c.words[1]}:{zsh_text(c.summary)}'" for c in root.commands),
        "@FUNCTIONS@": "\n".join(zsh_commands(root)),
    }
    for name in ("hive.bash", "hive.zsh"):
        text = (templates / f"{name}.in").read_text()
        for mark, table in tables.items():
            text = text.replace(mark, table)
        (output / name).write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
