"""What a worker of files_concurrent_test.py does with mappings of its own files, and with anonymous memory.

A page is open to the worker's task from its first store there until the file is synced, or the mapping goes,
or it is written back, which nobody tells. So when the task dies, pages that it has stored to may be as the
disk has them, whatever was acknowledged; all others are as they were."""

import errno
import mmap
import os
import pathlib

from file_own import PAGE

MAPS_MAX = 2          # of a file
GRABBED_MAX = 2       # at a time
GRABBED_PAGES = 24
WRITABLE = mmap.PROT_READ | mmap.PROT_WRITE


class Map:
    def __init__(self, number, size, offset, is_writable):
        self.id = number
        self.size = size
        self.offset = offset  # in the file
        self.is_writable = is_writable


class Stores:
    """Through mappings to one page."""

    def __init__(self):
        self.maps = set()
        self.are_last = False  # nothing was written there in another way since
        self.troubles = 0      # that had begun before the first


class Mapped:
    def do_map(self):
        path, file = self.a_file()
        if path is None or len(file.maps) >= MAPS_MAX:
            return False
        offset = self.random.choice((0, 0, self.random.randrange(len(file.data) + 1))) // PAGE * PAGE
        size = self.random.randrange(1, len(file.data) + 40_000)
        is_writable = self.random.random() < 0.75
        self.note(f"{path} {offset} {size}")
        fd = self.random.choice(file.fds)
        number = self.ask("map", fd, size, WRITABLE if is_writable else mmap.PROT_READ, offset)
        file.maps.append(Map(number, -(-size // PAGE) * PAGE, offset, is_writable))

    def a_map(self, is_writable=False):
        found = [(path, file, mapping) for path, file in
                 [*self.files.items(), *(("without a name", file) for file in self.loose)]
                 for mapping in file.maps if mapping.is_writable or not is_writable]
        return self.random.choice(found) if found else (None, None, None)

    def do_unmap(self):
        path, file, mapping = self.a_map()
        if path is None:
            return False
        self.note(f"{path} {mapping.id}")
        file.maps.remove(mapping)
        # They are closed, but as dirty as they were: also if it dies before it hears so.
        for stores in file.stores.values():
            stores.are_last = False
        self.ask("unmap", mapping.id)
        if file in self.loose and not file.maps and not file.fds:
            self.loose.remove(file)
        for page, stores in list(file.stores.items()):
            stores.maps.discard(mapping.id)
            if not stores.maps:
                del file.stores[page]

    def do_msync(self):
        path, file, mapping = self.a_map()
        if path is None:
            return False
        self.note(f"{path} {mapping.id}")
        self.ask("msync", mapping.id)
        file.synced()

    def a_place(self, file, mapping, count_max):
        """(offset in the mapping, bytes), or None: no page of the file is there."""
        pages_end = -(-len(file.data) // PAGE) * PAGE
        end = min(mapping.size, pages_end - mapping.offset)
        if end <= 0:
            return None
        at = self.random.randrange(end)
        return at, min(self.random.randrange(1, count_max), end - at)

    def behind_the_end(self, path, file, mapping, call, what):
        """A touch of a page that the file does not have: SIGBUS, here an error."""
        first = max(0, -(-len(file.data) // PAGE) * PAGE - mapping.offset)
        if first >= mapping.size:
            return False
        at = self.random.randrange(first, mapping.size)
        self.note(f"{path} {mapping.id} {at} behind the end")
        try:
            self.ask(call, mapping.id, at, what)
        except OSError as failed:
            return self.expect(failed, {errno.ENXIO})
        raise AssertionError(f"{path} has bytes behind its last page, at {mapping.offset + at}")

    def do_poke(self):
        path, file, mapping = self.a_map(is_writable=True)
        if path is None:
            return False
        place = self.a_place(file, mapping, 9000)
        if place is None or self.random.random() < 0.05:
            return self.behind_the_end(path, file, mapping, "poke", b"!")
        at, count = place
        data = self.random.randbytes(count)
        begin = mapping.offset + at
        self.note(f"{path} {mapping.id} {at} {count}")
        old = file.data
        # What lies behind the end, in the last page, is not in the file.
        new = old[:begin] + data[:max(0, len(old) - begin)] + old[begin + count:]
        pages = [file.stores.setdefault(page, Stores())
                 for page in range(begin // PAGE, (begin + count - 1) // PAGE + 1)]
        for stores in pages:
            if not stores.are_last:
                stores.troubles = self.killer.troubles
            stores.maps.add(mapping.id)
        self.stored(file, new, "poke", mapping.id, at, data)
        # Only now: who dies in the middle may not have had the page open, which is dirty by a write.
        for stores in pages:
            stores.are_last = True

    def do_peek(self):
        path, file, mapping = self.a_map()
        if path is None:
            return False
        place = self.a_place(file, mapping, 60_000)
        if place is None or self.random.random() < 0.05:
            return self.behind_the_end(path, file, mapping, "peek", 1)
        self.note(f"{path} {mapping.id} {place}")
        self.peek_at(path, file, mapping, *place)

    def peek_at(self, path, file, mapping, at=0, count=PAGE):
        if mapping.offset + at >= -(-len(file.data) // PAGE) * PAGE:
            return
        seen = self.ask("peek", mapping.id, at, count)
        begin = mapping.offset + at
        wanted = file.data[begin:begin + count]
        self.compare(f"{path}, mapped,", begin, seen[:len(wanted)], wanted)

    def do_grab(self):
        """Anonymous memory, which takes frames from the cache and gives them back."""
        if len(self.grabbed) < GRABBED_MAX and self.random.random() < 0.6:
            size = self.random.randrange(1, GRABBED_PAGES * PAGE)
            data = self.random.randbytes(size)
            self.note(size)
            mapping = self.ask("anonymous", size)
            try:
                self.ask("poke", mapping, 0, data, told={errno.ENOMEM})
            except OSError:
                self.ask("unmap", mapping)  # the cell is full
                return
            self.grabbed.append((mapping, data))
            return
        if not self.grabbed:
            return False
        mapping, data = self.grabbed.pop(self.random.randrange(len(self.grabbed)))
        self.compare("memory", 0, self.ask("peek", mapping, 0, len(data)), data)
        self.ask("unmap", mapping)

    # --- after a death that was not that of the file's home

    def check_kept(self, path, file, data, has_died):
        """What no task that has died could store to is as it was."""
        old = file.data
        may_be_lost = set(file.stores) if has_died else set()
        # As long as the disk has it, when its last pages are lost before they were ever there: but for holes.
        gone = [page for page in range(len(data) // PAGE, -(-len(old) // PAGE))
                if old[page * PAGE:(page + 1) * PAGE].strip(b"\0")]
        if len(data) > len(old) or (len(data) < len(old) and not may_be_lost.issuperset(gone)):
            raise AssertionError(f"{path}: {len(data)} bytes, not {len(old)}, and its home lives")
        for at in range(0, len(data), PAGE):
            if data[at:at + PAGE] == old[at:at + PAGE] or at // PAGE in may_be_lost:
                continue
            raise AssertionError(f"{path}: bytes of page {at // PAGE} are not those that were acknowledged, "
                                 "and its home lives")

    def check_dropped(self, path, file, data):
        """What the dead had stored to last is what the disk has: it was written back, or dropped."""
        disk_failed = [i for i, way in enumerate(self.killer.ways) if way.startswith("disk-")]
        pages = [page for page, stores in file.stores.items() if stores.are_last and not any(
            i + 1 >= stores.troubles for i in disk_failed)]
        if not pages:
            return
        # Write-backs that had begun before the death are over when the file is cut.
        fd = self.ask("open", path, os.O_RDWR)
        self.ask("ftruncate", fd, len(data))
        self.ask("close", fd)
        home, number = self.kind(path)
        disk = pathlib.Path(self.test.machine.directory) / f"state/hive/test/disk{home}/files/{number}"
        there = disk.read_bytes()
        for page in pages:
            begin = page * PAGE
            seen = data[begin:begin + PAGE]
            if seen != there[begin:begin + PAGE].ljust(len(seen), b"\0"):
                raise AssertionError(f"{path}: bytes of page {page} are those of a task that died with it "
                                     "open, and not on the disk")
