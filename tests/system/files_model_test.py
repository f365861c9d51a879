"""Random operations on files, from tasks on all cells, against a model in memory; with cells that are
killed between two steps of what they do. What was acknowledged is there; content is at least what
fsync has acknowledged, and no byte is another than was written there; what was open on a cell that
died says EIO; and in the end no file is left that has no name.

HIVE_TEST_SEED replays, HIVE_TEST_ROUNDS says how many operations."""

import collections
import errno
import os
import pathlib
import random
import unittest

from filer import Filer
from machine import MachineTest, seed, wait_for

CELLS = 3
ROUNDS = int(os.environ.get("HIVE_TEST_ROUNDS", "1500"))
KILLS_EVERY = 60
ARMED_MAX = 40  # operations until a point that nobody passed is taken back
BYTES_MAX = 40000
NAMES = "abcd"
DOWN = {errno.EHOSTDOWN, errno.EIO, errno.ETIMEDOUT, errno.ENOTCONN}


class Node:
    """A file, directory or link. `versions`: what may be in the file if its home dies now: that of the
    last fsync first, the newest last."""

    def __init__(self, kind, home=None, target=None):
        self.kind = kind
        self.home = home
        self.target = target
        self.names = {}
        self.versions = [b""]

    @property
    def data(self):
        return self.versions[-1]

    def change(self, data):
        self.versions.append(bytes(data))

    def allows(self, data):
        """Whether this is the content after a death: pages got to the disk in any order, so each byte is one
        of some version, and the size lies between theirs."""
        if data in self.versions:
            return True
        lengths = [len(version) for version in self.versions]
        if not min(lengths) <= len(data) <= max(lengths):
            return False
        padded = [version.ljust(len(data), b"\0") for version in self.versions]
        return all(any(version[i] == byte for version in padded) for i, byte in enumerate(data))


def error(*numbers):
    raised = OSError(numbers[0], "as the model has it")
    raised.numbers = set(numbers)
    return raised


class Model:
    def __init__(self):
        self.root = Node("directory")

    def parent(self, path):
        *above, name = path.strip("/").split("/")
        node = self.root
        for part in above:
            if part not in node.names:
                raise error(errno.ENOENT)
            node = node.names[part]
            if node.kind == "link":  # all of them lead to nothing
                raise error(errno.ENOENT)
            if node.kind != "directory":
                raise error(errno.ENOTDIR)
        return node, name

    def find(self, path):
        if path == "/":
            return self.root
        parent, name = self.parent(path)
        if name not in parent.names:
            raise error(errno.ENOENT)
        return parent.names[name]

    def there(self, path):
        try:
            return self.find(path)
        except OSError:
            return None

    def make(self, path, node):
        parent, name = self.parent(path)
        if name in parent.names:
            raise error(errno.EEXIST)
        parent.names[name] = node
        return node

    def unlink(self, path):
        parent, name = self.parent(path)
        if self.find(path).kind == "directory":
            raise error(errno.EISDIR)
        del parent.names[name]

    def rmdir(self, path):
        parent, name = self.parent(path)
        node = self.find(path)
        if node.kind != "directory":
            raise error(errno.ENOTDIR)
        if node.names:
            raise error(errno.ENOTEMPTY)
        del parent.names[name]

    def rename(self, old, new):
        wrong = set()  # whichever of them is looked at first
        for look, path in ((self.find, old), (self.parent, new)):
            try:
                look(path)
            except OSError as failed:
                wrong |= failed.numbers
        if wrong:
            raise error(*wrong)
        old_parent, old_name = self.parent(old)
        node = self.find(old)
        new_parent, new_name = self.parent(new)
        replaced = new_parent.names.get(new_name)
        if replaced is node:
            return
        if node.kind == "directory" and (new.strip("/") + "/").startswith(old.strip("/") + "/"):
            wrong.add(errno.EINVAL)
        if replaced and replaced.kind == "directory":
            if node.kind != "directory":
                wrong.add(errno.EISDIR)
            elif replaced.names:
                wrong |= {errno.ENOTEMPTY, errno.EXDEV}
        elif replaced and node.kind == "directory":
            wrong.add(errno.ENOTDIR)
        if wrong:
            raise error(*wrong)
        del old_parent.names[old_name]
        new_parent.names[new_name] = node

    def all(self, node=None, path=""):
        """(path, node) of everything with a name."""
        for name, below in (node or self.root).names.items():
            yield f"{path}/{name}", below
            if below.kind == "directory":
                yield from self.all(below, f"{path}/{name}")


class Open:
    """`maybe_new`: opened while a cell was about to die, so perhaps by its next kernel: nobody has to
    notice a death that is over before anything is asked of the cell."""

    def __init__(self, filer, fd, node, maybe_new):
        self.filer, self.fd, self.node, self.maybe_new = filer, fd, node, maybe_new


class FilesModel(MachineTest):
    def setUp(self):
        super().setUp()
        self.random = random.Random(seed())
        self.model = Model()
        self.open = []
        self.counts = collections.Counter()
        self.kills = collections.Counter()
        self.armed = None
        self.armed_rounds = 0
        self.unsure = None  # a file whose content is not known after a death
        self.log = collections.deque(maxlen=80)

    # What to do.

    def directories(self):
        return ["/"] + [path for path, node in self.model.all() if node.kind == "directory"]

    def path(self):
        """One that may be there: below a directory that is, or below something that is none."""
        above = self.random.choice(self.directories())
        if self.random.random() < 0.05:
            above = self.random.choice(self.directories()) + "/" + self.random.choice(NAMES)
        while above.count("/") > 4:
            above = above.rpartition("/")[0] or "/"
        return above.rstrip("/") + "/" + self.random.choice(NAMES)

    def some(self, kind):
        found = [path for path, node in self.model.all() if node.kind == kind]
        return self.random.choice(found) if found and self.random.random() < 0.9 else self.path()

    def bytes(self):
        length = self.random.choice((0, 1, 100, 4096, self.random.randrange(BYTES_MAX)))
        return self.random.randbytes(length)

    def a_file(self):
        return self.random.choice(self.open) if self.open else None

    # Operations: each returns what the machine has to say, and what the model says.

    def do_mkdir(self, filer):
        path = self.path()
        return path, lambda: filer.mkdir(path), lambda: self.model.make(path, Node("directory")) and None

    def do_create(self, filer):
        path = self.path()
        home = self.random.randrange(CELLS)

        def machine():
            fd = filer.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644, home)
            self.fresh = fd

        def model():
            node = self.model.make(path, Node("file", home))
            self.open.append(Open(filer, self.fresh, node, self.armed is not None))
        return path, machine, model

    def do_open(self, filer):
        path = self.some("file")
        if len(self.open) > 20:
            return None

        def machine():
            self.fresh = filer.open(path, os.O_RDWR | os.O_NOFOLLOW)

        def model():
            node = self.model.find(path)
            if node.kind == "link":
                raise error(errno.ELOOP)
            if node.kind == "directory":
                raise error(errno.EISDIR)
            self.open.append(Open(filer, self.fresh, node, self.armed is not None))
        return path, machine, model

    def do_symlink(self, filer):
        path, target = self.path(), "to/" + self.path()
        return (path, lambda: filer.symlink(target, path),
                lambda: self.model.make(path, Node("link", target=target)) and None)

    def do_readlink(self, filer):
        path = self.some("link")

        def model():
            node = self.model.find(path)
            if node.kind != "link":
                raise error(errno.EINVAL)
            return node.target
        return path, lambda: filer.readlink(path), model

    def do_unlink(self, filer):
        path = self.some("file")
        return path, lambda: filer.unlink(path), lambda: self.model.unlink(path)

    def do_rmdir(self, filer):
        path = self.some("directory")
        return path, lambda: filer.rmdir(path), lambda: self.model.rmdir(path)

    def do_rename(self, filer):
        old = self.random.choice((self.some("file"), self.some("directory"), self.path()))
        new = self.path()
        self.renamed = (old, new)
        return f"{old} {new}", lambda: filer.rename(old, new), lambda: self.model.rename(old, new)

    def do_stat(self, filer):
        path = self.path()

        def machine():
            about = filer.lstat(path)
            return about["kind"], about["size"] if about["kind"] == "file" else None

        def model():
            node = self.model.find(path)
            return node.kind, len(node.data) if node.kind == "file" else None
        return path, machine, model

    def do_readdir(self, filer):
        path = self.random.choice(self.directories())
        return (path, lambda: filer.readdir(path),
                lambda: {name: node.kind for name, node in self.model.find(path).names.items()})

    def do_write(self, filer):
        if not (file := self.a_file()):
            return None
        data = self.bytes()
        offset = self.random.randrange(len(file.node.data) + 5000)

        def model():
            old = file.node.data
            if data:
                self.written = old.ljust(offset, b"\0")[:offset] + data + old[offset + len(data):]
                file.node.change(self.written)
            return len(data)
        self.touched = file.node
        return (f"{file.fd} {offset} {len(data)}",
                lambda: file.filer.pwrite(file.fd, data, offset), model)

    def do_truncate(self, filer):
        if not (file := self.a_file()):
            return None
        size = self.random.randrange(BYTES_MAX)
        self.touched = file.node
        return (f"{file.fd} {size}", lambda: file.filer.ftruncate(file.fd, size),
                lambda: file.node.change(file.node.data[:size].ljust(size, b"\0")))

    def do_read(self, filer):
        if not (file := self.a_file()):
            return None
        offset = self.random.randrange(len(file.node.data) + 100)
        count = self.random.randrange(2 * BYTES_MAX)
        return (f"{file.fd} {offset} {count}", lambda: file.filer.pread(file.fd, count, offset),
                lambda: file.node.data[offset:offset + count])

    def do_fsync(self, filer):
        if not (file := self.a_file()):
            return None

        def model():
            del file.node.versions[:-1]
        return file.fd, lambda: file.filer.fsync(file.fd), model

    def do_close(self, filer):
        if not (file := self.a_file()):
            return None
        return (file.fd, lambda: file.filer.close(file.fd), lambda: self.open.remove(file))

    WEIGHTS = {"mkdir": 4, "create": 8, "open": 6, "symlink": 2, "readlink": 1, "unlink": 5, "rmdir": 2,
               "rename": 7, "stat": 3, "readdir": 3, "write": 14, "truncate": 3, "read": 10, "fsync": 5,
               "close": 7}

    # Carried out, and compared.

    def one(self):
        name = self.random.choices(*zip(*self.WEIGHTS.items()))[0]
        filer = self.random.choice(self.filers)
        planned = getattr(self, f"do_{name}")(filer)
        if planned is None:
            return
        what, machine, model = planned
        self.log.append(f"{name} {what} on {filer.cell}")
        self.counts[name] += 1
        tries = []

        def settled():
            """A name may be on its way from one home to another after a death."""
            try:
                tries.append((machine(), None))
            except OSError as failed:
                if failed.errno == errno.EBUSY:
                    return False
                tries.append((None, failed))
            except Filer.Lost as lost:
                tries.append((None, lost))
            return True
        wait_for(settled, "a name to be settled")
        said, failed = tries[-1]
        if self.armed is not None and (isinstance(failed, Filer.Lost)
                                       or failed is not None and failed.errno in DOWN):
            self.kills[name] += 1
            return self.recover(name, what, model)
        if isinstance(failed, Filer.Lost):
            raise AssertionError(f"{name} {what}: the task has ended")
        if name == "rename" and failed is not None and failed.errno == errno.EXDEV:
            node, old = self.model.there(self.renamed[0]), self.model.there(self.renamed[1])
            self.assertEqual((node.kind, old.kind), ("directory", "directory"))
            return
        try:
            expected = model()
        except OSError as wrong:
            numbers = getattr(wrong, "numbers", {wrong.errno})
            self.assertIsNotNone(failed, f"{name} {what}: not refused with {wrong}")
            self.assertIn(failed.errno, numbers, f"{name} {what}")
            return
        if failed is not None:
            raise AssertionError(f"{name} {what}: {failed}")
        self.assertEqual(said, expected, f"{name} {what}")

    # Deaths.

    def arm(self):
        self.armed = self.random.randrange(CELLS)
        self.armed_rounds = 0
        skip = self.random.randrange(25)
        self.log.append(f"cell {self.armed} dies before its step {skip}")
        self.machine.hive("fault", "kill-at", self.armed, "--point", "file-step", "--skip", skip,
                          "--name", "test")

    def disarm(self):
        """It may die while it is told."""
        self.machine.hive("fault", "kill-at", self.armed, "--point", "none", "--name", "test",
                          check=False)
        if self.machine.cell(self.armed)["incarnation"] == self.incarnations[self.armed]:
            if self.machine.cell(self.armed)["state"] == "up":
                self.armed = None
                return
        self.kills["(between)"] += 1
        self.recover("nothing", "", lambda: None)

    def recover(self, name, what, model):
        """A cell has died in the middle of an operation, which may or may not have happened."""
        victim, self.armed = self.armed, None
        self.log.append(f"cell {victim} is taken to be dead after {name} {what}")
        self.incarnations[victim] += 1
        wait_for(lambda: self.machine.cell(victim)["state"] == "out"
                 or self.machine.cell(victim)["incarnation"] == self.incarnations[victim],
                 f"cell {victim} to be started anew, or not")
        if self.machine.cell(victim)["state"] == "out":  # it died too often
            self.machine.hive("reboot", victim, "--name", "test")
        self.machine.wait_up(*self.incarnations)
        for file in list(self.open):
            if file.filer.cell == victim:
                self.open.remove(file)
            elif file.node.home == victim:
                try:
                    file.filer.pread(file.fd, 1, 0)
                    self.assertTrue(file.maybe_new, f"{file.fd} of cell {file.filer.cell}: no EIO")
                except OSError as failed:
                    self.assertEqual(failed.errno, errno.EIO)
                file.filer.close(file.fd)
                self.open.remove(file)
        old = self.filers[victim]
        old.process.kill()
        self.filers[victim] = Filer(self, victim)
        if name not in ("nothing", "stat", "readdir", "read", "fsync", "readlink", "close", "open"):
            self.undecided(name, what, model)
        elif name == "close":
            self.open = [file for file in self.open if file.fd != what or file.filer in self.filers]
        self.check_all(victim)

    def undecided(self, name, what, model):
        """Finds out whether it has happened, and has the model follow."""
        looker = self.random.choice(self.filers)

        def kind(path):
            try:
                about = looker.lstat(path)
            except OSError as failed:
                if failed.errno in (errno.ENOENT, errno.ENOTDIR):
                    return None
                raise
            return about["kind"], about["home"], about["number"]
        if name in ("write", "truncate"):
            before = list(self.touched.versions)
            model()  # may be there; or not
            if self.touched.home is not None and self.touched.data not in before:
                self.touched.versions.append(before[-1])
                self.unsure = self.touched
            return
        if name == "rename":
            old, new = self.renamed
            wait_for(lambda: not (kind(old) and kind(old) == kind(new) and old != new),
                     f"{old} or {new} to have it")
            source = self.model.there(old)
            if source is not None and kind(old) is None:
                model()
            return
        if name == "create":
            self.fresh = None
        there = kind(what) is not None
        if there == (self.model.there(what) is not None):
            return
        model()
        if name == "create":
            self.open.pop()

    def check_all(self, victim):
        """Everything is where the model has it; of the files of the dead home, what may be."""
        looker = self.random.choice(self.filers)
        for path, node in [("/", self.model.root), *self.model.all()]:
            if node.kind == "directory":
                names = {name: below.kind for name, below in node.names.items()}
                self.assertEqual(looker.readdir(path), names, path)
            elif node.kind == "link":
                self.assertEqual(looker.readlink(path), node.target)
            elif node.home == victim or node is self.unsure:
                data = looker.content(path)
                self.assertTrue(node.allows(data), f"{path}: {len(data)} bytes, none of "
                                f"{[len(version) for version in node.versions]}")
                # What a living home has need not be on its disk yet.
                node.versions = [data] if node.home == victim else node.versions + [data]
            else:
                self.assertEqual(looker.content(path), node.data, path)
        if self.unsure is not None and self.unsure not in (node for _, node in self.model.all()):
            # Without a name: nobody can say what is in it.
            for file in [file for file in self.open if file.node is self.unsure]:
                file.filer.close(file.fd)
                self.open.remove(file)
        self.unsure = None

    def check_disks(self):
        """Nothing waits to be settled, and no file is without a name."""
        disks = pathlib.Path(self.machine.directory) / "state/hive/test"
        named = sum(node.kind != "directory" for _, node in self.model.all())
        folders = sum(node.kind == "directory" for _, node in self.model.all())

        def count(folder):
            return sum(len(list((disks / f"disk{cell}" / folder).iterdir())) for cell in range(CELLS))
        wait_for(lambda: self.filers[0].readdir("/") is not None
                 and (count("pending"), count("files"), count("names"))
                 == (0, named, folders + CELLS),
                 f"nothing but {named} files and {folders} directories to be left on the disks")

    def test_the_machine_does_what_the_model_does(self):
        self.machine.boot(cells=CELLS)
        self.incarnations = [1] * CELLS
        self.filers = [Filer(self, cell) for cell in range(CELLS)]
        try:
            for round_number in range(ROUNDS):
                if self.armed is None and round_number % KILLS_EVERY == KILLS_EVERY - 1:
                    self.arm()
                self.one()
                self.armed_rounds += 1
                if self.armed is not None and self.armed_rounds > ARMED_MAX:
                    self.disarm()
            if self.armed is not None:
                self.disarm()
            self.check_all(None)
            for file in self.open:
                file.filer.close(file.fd)
            self.check_disks()
        except BaseException:
            print("\n".join(["the last operations:", *self.log]), flush=True)
            disks = pathlib.Path(self.machine.directory) / "state/hive/test"
            for note in disks.glob("disk*/pending/*"):
                print(note.relative_to(disks), os.readlink(note), flush=True)
            print(self.machine.log(), flush=True)
            raise
        print(f"operations {dict(self.counts)}; killed in {dict(self.kills)}", flush=True)
        self.assertGreater(min(self.counts[name] for name in self.WEIGHTS), ROUNDS // 200)
        self.assertGreater(sum(self.kills.values()), ROUNDS // 200)
        for filer in self.filers:
            filer.end()
        self.machine.shutdown()
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
