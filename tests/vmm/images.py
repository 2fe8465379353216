#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes images of physical memory that MemProcFS recognises, out of nothing:

    images.py FOLDER         all of them, of 16 to 32 MiB
    images.py FOLDER MIB     only large.raw, whose target.exe has so many MiB at KNOWN

windows.raw has page tables, a kernel and processes laid out as 64-bit Windows 10 (build 19045)
does it, as far as MemProcFS looks; the same memory comes as ELF core, LiME and crash dump. What is
in target.exe (pid 3333) is told by the constants below. other.raw has page tables alone, for
--dtb; pagefile.sys has the page that target.exe has there. known.bin is what lies at KNOWN.

It holds nothing of Microsoft's: every byte is computed here. The offsets are facts about the
structures of that build, as debuggers print them.
"""
import random
import struct
import sys
from pathlib import Path

PAGE = 0x1000
MIB = 1 << 20
PRESENT, WRITE, USER, ACCESSED, DIRTY, LARGE = 1, 2, 4, 0x20, 0x40, 0x80
NO_EXECUTE = 1 << 63
READ_ONLY = PRESENT | USER | ACCESSED | NO_EXECUTE
READ_WRITE = READ_ONLY | WRITE | DIRTY
EXECUTE = PRESENT | USER | ACCESSED
EVERYTHING = EXECUTE | WRITE | DIRTY
KERNEL_DATA = PRESENT | WRITE | ACCESSED | DIRTY | NO_EXECUTE
KERNEL_CODE = PRESENT | ACCESSED

NEEDLE = b"windows-needle-0123456789abcdef"
KNOWN, KNOWN_SIZE, KNOWN_FRAMES = 0x20000000, 2 * MIB, 20 * MIB
HEAP = 0x1a000000        # five pages, the third of which is missing
SHELLCODE = 0x1b000000   # two pages, read, write and execute
MAPPED = 0x1c000000      # a file: one page touched, one in memory all the same, two not
NOWHERE = 0x1d000000     # reserved, no access
MIXED = 0x1e000000       # in memory, in transition, in the page file, zero, never touched, in memory
GUARD = 0x1f000000
STACK = 0x50000          # the upper two pages are in memory
PAGE_FILE_PAGE = 3
ODD_NAME = "d\u00e4ta \U0001f600.bin"
CONFORMANCE = b"conformance-needle"


def words(*values):
    return b"".join(struct.pack("<Q", value & (1 << 64) - 1) for value in values)


class Physical:
    """Bytes, given out page by page from `first` on."""

    def __init__(self, size, first):
        self.data = bytearray(size)
        self.next = first

    def page(self):
        at = self.next
        self.next += PAGE
        assert self.next <= KNOWN_FRAMES, "there is too much in the image"
        return at

    def word(self, at):
        return struct.unpack_from("<Q", self.data, at)[0]

    def set_word(self, at, value):
        struct.pack_into("<Q", self.data, at, value)


class Space:
    """An address space: four levels of page tables."""

    def __init__(self, memory, root):
        self.memory, self.root = memory, root

    def entry(self, address, levels=4):
        """Where the entry for an address is, tables made as needed."""
        table, memory = self.root, self.memory
        for level in range(3, 4 - levels, -1):
            at = table + (address >> 12 + 9 * level & 511) * 8
            if not memory.word(at) & PRESENT:
                rights = USER if address < 1 << 47 else 0
                memory.set_word(at, memory.page() | PRESENT | WRITE | ACCESSED | DIRTY | rights)
            table = memory.word(at) & 0xfffffffff000
        return table + (address >> 12 + 9 * (4 - levels) & 511) * 8

    def map(self, address, rights, count=1, frame=None):
        for i in range(count):
            self.memory.set_word(self.entry(address + i * PAGE),
                                 (self.memory.page() if frame is None else frame) | rights)

    def physical(self, address):
        value = self.memory.word(self.entry(address))
        assert value & PRESENT, hex(address)
        return (value & 0xfffffffff000) + address % PAGE

    def put(self, address, data):
        while data:
            size = min(len(data), PAGE - address % PAGE)
            at = self.physical(address)
            self.memory.data[at:at + size] = data[:size]
            address, data = address + size, data[size:]


# ---- Images of programs ---------------------------------------------------------------------------


def pad(data, alignment=4):
    return data + bytes(-len(data) % alignment)


def version_block(key, value=b"", children=b"", text=False, count=None):
    head = key.encode("utf-16le") + b"\0\0"
    head += bytes(-(6 + len(head)) % 4)
    body = head + value
    if children:
        body += bytes(-(6 + len(body)) % 4) + children
    length = count if count is not None else len(value)
    return struct.pack("<HHH", 6 + len(body), length, int(text)) + body


def version_resource(strings):
    texts = b""
    for key, value in strings.items():
        data = value.encode("utf-16le") + b"\0\0"
        texts = pad(texts) + version_block(key, data, text=True, count=len(value) + 1)
    table = version_block("040904b0", children=texts, text=True)
    info = version_block("StringFileInfo", children=table, text=True)
    language = version_block("Translation", struct.pack("<HH", 0x409, 1200))
    info = pad(info) + version_block("VarFileInfo", children=language, text=True)
    fixed = struct.pack("<13I", 0xfeef04bd, 0x10000, 0xa0000, 19045 << 16 | 1, 0xa0000,
                        19045 << 16 | 1, 0x3f, 0, 0x40004, 2, 0, 0, 0)
    return version_block("VS_VERSION_INFO", fixed, info)


class Image:
    """A PE image as it lies in memory: headers, .text, .edata, .data, .rsrc, .rdata by page."""
    TEXT, EXPORTS, DATA, RESOURCES, DEBUG = 0x1000, 0x2000, 0x3000, 0x4000, 0x5000

    def __init__(self, name, pages, exports, version, extra=()):
        self.data = bytearray(pages * PAGE)
        self.name, self.pages = name, pages
        sections = [(b".text", self.TEXT, 0x60000020), (b".edata", self.EXPORTS, 0x40000040),
                    (b".data", self.DATA, 0xc0000040), (b".rsrc", self.RESOURCES, 0x40000040),
                    (b".rdata", self.DEBUG, 0x40000040), *extra]
        self.headers(sections, 0x22 if name.endswith(".exe") else 0x2022)
        self.directory(0, self.EXPORTS, self.exports(exports))
        self.directory(2, self.RESOURCES, self.resources(version))
        self.directory(6, self.DEBUG, self.debug())

    def put(self, at, data):
        self.data[at:at + len(data)] = data

    def headers(self, sections, flags):
        self.put(0, b"MZ")
        self.put(0x3c, struct.pack("<I", 0x80))
        self.put(0x80, b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(sections), 0x5f000000, 0, 0,
                                               0xf0, flags))
        self.put(0x98, struct.pack("<HBBIIIII", 0x20b, 14, 0, PAGE, 0x4000, 0, PAGE, PAGE))
        self.put(0xb0, struct.pack("<QII6HIIII2H4QII", 0, PAGE, 0x200, 10, 0, 10, 0, 10, 0, 0,
                                   len(self.data), 0x400, 0, 3, 0, MIB, PAGE, MIB, PAGE, 0, 16))
        for i, (name, address, rights) in enumerate(sections):
            self.put(0x188 + 40 * i, struct.pack("<8sIIIIIIHHI", name, PAGE, address, PAGE, address,
                                                 0, 0, 0, 0, rights))

    def directory(self, index, address, size):
        self.put(0x108 + 8 * index, struct.pack("<II", address, size))

    def exports(self, names):
        names = sorted(names.items())
        functions = self.EXPORTS + 40
        pointers = functions + 4 * len(names)
        ordinals = pointers + 4 * len(names)
        text = ordinals + 2 * len(names)
        self.put(self.EXPORTS, struct.pack("<IIHHIIIIIII", 0, 0, 0, 0, text, 1, len(names),
                                           len(names), functions, pointers, ordinals))
        self.put(text, self.name.encode() + b"\0")
        text += len(self.name) + 1
        for i, (name, address) in enumerate(names):
            self.put(functions + 4 * i, struct.pack("<I", address))
            self.put(pointers + 4 * i, struct.pack("<I", text))
            self.put(ordinals + 2 * i, struct.pack("<H", i))
            self.put(text, name.encode() + b"\0")
            text += len(name) + 1
        return text - self.EXPORTS

    def resources(self, version):
        data = version_resource(version)
        for depth, (kind, target) in enumerate([(16, 0x80000018), (1, 0x80000030), (0x409, 0x48)]):
            self.put(self.RESOURCES + 0x18 * depth,
                     struct.pack("<IIHHHHII", 0, 0, 0, 0, 0, 1, kind, target))
        self.put(self.RESOURCES + 0x48,
                 struct.pack("<IIII", self.RESOURCES + 0x60, len(data), 0, 0))
        self.put(self.RESOURCES + 0x60, data)
        return PAGE

    def debug(self):
        pdb = self.name.rsplit(".", 1)[0].encode() + b".pdb\0"
        record = b"RSDS" + bytes(range(16)) + struct.pack("<I", 1) + pdb
        self.put(self.DEBUG, struct.pack("<IIHHIIII", 0, 0, 0, 0, 2, len(record),
                                         self.DEBUG + 0x100, self.DEBUG + 0x100))
        self.put(self.DEBUG + 0x100, record)
        return 28


def version_of(name, version, product="10.0.19045.1"):
    return {"CompanyName": "memsift", "FileDescription": f"made for tests: {name}",
            "FileVersion": version, "InternalName": name, "OriginalFilename": name,
            "ProductName": "tests", "ProductVersion": product}


# ---- Windows --------------------------------------------------------------------------------------

KERNEL = 0xfffff80340000000
KERNEL_PAGES = 64
POOL = 0xffffe00000100000
POOL_PAGES = 0x80
SELF_MAP = 0x1ed
KERNEL_SLOTS = [0x1c0, 0x1e0, 0x1f0, 0x1f1, 0x1f2, 0x1f3, 0x1f4]
ACCESS = {"none": 0, "r": 1, "rx": 3, "rw": 4, "rwx": 6, "image": 7, "guard": 0x14}


class Windows:
    def __init__(self, size):
        # The first page that looks like the kernel's tables is taken for them.
        self.memory = Physical(size, 0x1ad000)
        self.shared = {}
        self.kernel = self.new_space()
        self.kernel.map(POOL, KERNEL_DATA, POOL_PAGES)
        self.pool = POOL
        self.processes = []
        self.image = Image("ntoskrnl.exe", KERNEL_PAGES,
                           {"PsInitialSystemProcess": 0x3000, "PsLoadedModuleList": 0x3010,
                            "NtBuildNumber": 0x3020, "MmAllocateContiguousMemory": 0x1000},
                           version_of("ntkrnlmp.exe", "10.0.19045.1"),
                           [(b"POOLCODE", 0x6000, 0x60000020)])
        self.kernel.map(KERNEL, KERNEL_DATA)
        self.kernel.map(KERNEL + PAGE, KERNEL_CODE, KERNEL_PAGES - 1)
        self.kernel.put(KERNEL, bytes(self.image.data))

    def new_space(self):
        """The kernel's half is the same in all."""
        root = self.memory.page()
        for slot in KERNEL_SLOTS:
            if slot not in self.shared:
                self.shared[slot] = self.memory.page()
            self.memory.set_word(root + slot * 8, self.shared[slot] | 0x63)
        self.memory.set_word(root + SELF_MAP * 8, root | 0x63)
        return Space(self.memory, root)

    def allocate(self, size, tag=None, alignment=16):
        """From the kernel's pool; a tag stands 12 bytes in front."""
        at = -(-self.pool // 16) * 16
        if tag:
            self.kernel.put(at, struct.pack("<I4sQ", 0, tag, 0))
            at += 16
        at = -(-at // alignment) * alignment
        self.pool = at + size
        assert self.pool < POOL + POOL_PAGES * PAGE, "the pool is too small"
        return at

    def string(self, text):
        """A UNICODE_STRING with its characters in the pool."""
        data = text.encode("utf-16le")
        at = self.allocate(len(data) + 2)
        self.kernel.put(at, data)
        return struct.pack("<HHIQ", len(data), len(data) + 2, 0, at)

    def section(self, path, image):
        file = self.allocate(0x100, b"File")
        self.kernel.put(file, struct.pack("<HH", 5, 0xd8))
        self.kernel.put(file + 0x58, self.string(path))
        area = self.allocate(0x80, b"MmCi" if image else b"MmCa")
        self.kernel.put(area + 0x40, words(file | 7))
        subsection = self.allocate(0x40, b"MmSs")
        self.kernel.put(subsection, words(area))
        return subsection

    def prototypes(self, entries):
        """Page table entries that a section's mappings share."""
        at = self.allocate(8 * len(entries) + 16, b"MmSt")
        self.kernel.put(at, words(*entries))
        return at, at + 8 * (len(entries) - 1)

    def finish(self):
        for i, process in enumerate(self.processes):
            around = (self.processes[(i + 1) % len(self.processes)], self.processes[i - 1])
            process.write(*around)
        self.kernel.put(KERNEL + 0x3000, words(self.processes[0].at))
        head, entry = KERNEL + 0x3010, self.allocate(0x120)
        self.kernel.put(KERNEL + 0x3020, struct.pack("<I", 0xf0000000 | 19045))
        self.kernel.put(head, words(entry, entry))
        self.kernel.put(entry, words(head, head, 0, 0, 0, 0, KERNEL, KERNEL + PAGE))
        self.kernel.put(entry + 0x40, struct.pack("<II", KERNEL_PAGES * PAGE, 0))
        self.kernel.put(entry + 0x48, self.string("\\SystemRoot\\system32\\ntoskrnl.exe"))
        self.kernel.put(entry + 0x58, self.string("ntoskrnl.exe"))


class Process:
    PEB, LOADER = 0x2e1000, 0x7f0000

    def __init__(self, windows, pid, parent, name, space=None):
        self.windows, self.pid, self.parent, self.name = windows, pid, parent, name
        self.space = space or windows.new_space()
        self.at = windows.allocate(0xb00, b"Proc", 0x40)
        self.ranges, self.modules = [], []
        self.peb, self.path = 0, ""
        windows.processes.append(self)

    # What is in the address space.

    def plan(self, start, size, access, subsection=0, kind=0, prototypes=(0, 0), commit=0):
        self.ranges.append((start, size, ACCESS[access], subsection, kind, prototypes, commit))

    def private(self, start, pages, access, rights):
        """A private allocation; rights for each page, None for one that is not there."""
        self.plan(start, pages * PAGE, access, commit=pages)
        for i, right in enumerate(rights):
            if right is not None:
                self.space.map(start + i * PAGE, right)

    def load(self, base, image, path, linked=True, claims=None):
        for i in range(image.pages):
            rights = EXECUTE if i == 1 else READ_WRITE if i == 3 else READ_ONLY
            self.space.map(base + i * PAGE, rights)
        self.space.put(base, bytes(image.data))
        self.space.put(base + PAGE, f"{image.name} code ".encode() * 20)
        self.plan(base, image.pages * PAGE, "image", self.windows.section(path[2:], True), 2)
        self.modules.append((base, claims or image.pages * PAGE, image.name, path, linked))

    def make_user(self, path, command):
        """PEB, the loader's lists and the parameters."""
        space = self.space
        self.path, self.peb = "\\Device\\HarddiskVolume3" + path[2:], self.PEB
        self.private(0x200000, 0x200, "rw", [])
        space.map(self.PEB, READ_WRITE)
        self.private(self.LOADER, 4, "rw", [READ_WRITE] * 4)
        space.put(self.PEB + 0x10, words(self.modules[0][0], self.LOADER, self.LOADER + 0x3000))
        space.put(self.PEB + 0x118, struct.pack("<IIHH", 10, 0, 19045, 0))
        texts = [self.LOADER + 0x2000]

        def string(text):
            data, at = text.encode("utf-16le"), texts[0]
            space.put(at, data + b"\0\0")
            texts[0] = -(-(at + len(data) + 2) // 16) * 16
            return struct.pack("<HHIQ", len(data), len(data) + 2, 0, at)

        for at, text in [(0x38, "C:\\"), (0x60, path), (0x70, command)]:
            space.put(self.LOADER + 0x3000 + at, string(text))
        linked = [module for module in self.modules if module[4]]
        entries = [self.LOADER + 0x100 + 0x120 * i for i in range(len(linked))]
        space.put(self.LOADER, struct.pack("<IIQ", 0x58, 1, 0))
        for head, link in [(0x10, 0), (0x20, 0x10), (0x30, 0x20)]:
            ring = [self.LOADER + head] + [entry + link for entry in entries]
            for i, at in enumerate(ring):
                space.put(at, words(ring[(i + 1) % len(ring)], ring[i - 1]))
        for entry, (base, size, name, where, _) in zip(entries, linked):
            space.put(entry + 0x30, words(base, base + PAGE))
            space.put(entry + 0x40, struct.pack("<II", size, 0))
            space.put(entry + 0x48, string(where))
            space.put(entry + 0x58, string(name))

    # What the kernel keeps of it.

    def tree(self, ranges):
        """The VADs as a balanced tree; its height is a handful."""
        if not ranges:
            return 0
        middle = len(ranges) // 2
        start, size, access, subsection, kind, prototypes, commit = ranges[middle]
        left, right = self.tree(ranges[:middle]), self.tree(ranges[middle + 1:])
        first, last = start >> 12, (start + size - 1) >> 12
        private = not subsection
        node = self.windows.allocate(0x90, b"VadS" if private else b"Vad ")
        flags = kind << 4 | access << 7 | int(private) << 20
        self.windows.kernel.put(node, words(left, right, 0) + struct.pack(
            "<IIBBBBIQII", first & 0xffffffff, last & 0xffffffff, first >> 32, last >> 32, 0, 0, 0,
            0, flags, commit | int(private) << 31) + words(0, 0, subsection, *prototypes))
        return node

    def write(self, following, before):
        block, kernel = bytearray(0xb00), self.windows.kernel
        path = self.path.encode("utf-16le")
        name = self.windows.allocate(0x10 + len(path) + 2)
        kernel.put(name, struct.pack("<HHIQ", len(path), len(path) + 2, 0, name + 0x10) + path)
        table = self.windows.allocate(0x80, b"Obtb")

        def put(at, data):
            block[at:at + len(data)] = data

        put(0, struct.pack("<I", 3))
        put(0x28, words(self.space.root))
        put(0x440, words(self.pid, following.at + 0x448, before.at + 0x448))
        put(0x540, words(self.parent))
        put(0x550, words(self.peb))
        put(0x570, words(table))
        put(0x5a8, self.name.encode()[:14])
        put(0x5c0, words(name))
        put(0x7d4, struct.pack("<I", 0x103))
        put(0x7d8, words(self.tree(sorted(self.ranges)), 0, len(self.ranges)))
        kernel.put(self.at, bytes(block))


def dll(name, pages, version, **more):
    return Image(name, pages, {"First": 0x1000, "Second": 0x1010}, version_of(name, version, **more))


def load_system(process, name, folder="C:\\Windows\\System32\\"):
    process.load(0x7ff600000000 + process.pid * MIB, dll(name, 8, f"1.2.3.{process.pid}"),
                 folder + name)
    process.load(0x7ffb10000000, dll("ntdll.dll", 12, "10.0.19045.4"),
                 "C:\\Windows\\System32\\ntdll.dll")


def known_bytes():
    data = bytearray(random.Random(11).randbytes(KNOWN_SIZE))
    for at in (512 * 1024 - 5, KNOWN_SIZE - len(CONFORMANCE)):
        data[at:at + len(CONFORMANCE)] = CONFORMANCE
    return bytes(data)


def fill_target(windows, process, mib):
    space = process.space
    process.load(0x7ffb20000000, dll("kernel32.dll", 10, "10.0.19045.5", product="10.0.19045.1"),
                 "C:\\Windows\\System32\\kernel32.dll")
    process.load(0x7ffb30000000, dll("hidden.dll", 8, "6.6.6.6", product="6.6.6.6"),
                 "C:\\Temp\\hidden.dll", linked=False)
    process.load(0x7ffb40000000, dll("liar.dll", 8, "1.0"), "C:\\Temp\\liar.dll", claims=0x7ff00000)
    process.private(HEAP, 5, "rw", [READ_WRITE, READ_WRITE, None, READ_WRITE, READ_WRITE])
    space.put(HEAP + 0x1800, NEEDLE)
    process.private(SHELLCODE, 2, "rwx", [EVERYTHING] * 2)
    space.put(SHELLCODE, b"\x90" * 64 + b"shellcode")
    process.plan(NOWHERE, 0x10000, "none")
    process.private(GUARD, 2, "guard", [])
    process.private(STACK, 0x100, "rw", [None] * 0xfe + [READ_WRITE] * 2)
    space.put(STACK + 0xff000, b"stack-needle")
    process.private(MIXED, 6, "rw", [READ_WRITE, None, None, None, None, READ_WRITE])
    frame = windows.memory.page()
    windows.memory.data[frame:frame + 17] = b"transition-needle"
    windows.memory.set_word(space.entry(MIXED + PAGE), frame | 1 << 11 | 4 << 5 | 1 << 4)
    windows.memory.set_word(space.entry(MIXED + 2 * PAGE),
                            PAGE_FILE_PAGE << 32 | 4 << 5 | 1 << 4 | 1 << 2)
    windows.memory.set_word(space.entry(MIXED + 3 * PAGE), 4 << 5)
    # A mapped file: what another process touched is in memory although this one has no page.
    touched, other = windows.memory.page(), windows.memory.page()
    windows.memory.data[touched:touched + 13] = b"mapped-needle"
    windows.memory.data[other:other + 16] = b"prototype-needle"
    subsection = windows.section("\\Temp\\" + ODD_NAME, False)
    in_file = subsection << 16 & ~0xfff | 1 << 10 | 1 << 5
    prototypes = windows.prototypes([touched | 0x121 | NO_EXECUTE, other | 0x121 | NO_EXECUTE,
                                     in_file, in_file])
    process.plan(MAPPED, 4 * PAGE, "r", subsection, prototypes=prototypes)
    space.map(MAPPED, READ_ONLY, frame=touched)
    # Behind everything else, so that an image that is cut short lacks some of it and no more.
    process.plan(KNOWN, mib * MIB, "rw", commit=mib * MIB // PAGE)
    for at in range(0, mib * MIB, PAGE):
        space.map(KNOWN + at, READ_WRITE, frame=KNOWN_FRAMES + at)
    windows.memory.data[KNOWN_FRAMES:KNOWN_FRAMES + mib * MIB] = known_bytes() * (mib * MIB // KNOWN_SIZE)


def make_windows(mib=KNOWN_SIZE // MIB):
    windows = Windows(KNOWN_FRAMES + max(mib, 12) * MIB)
    Process(windows, 4, 0, "System", windows.kernel)
    windows.processes[0].plan(0x77000000, 2 * PAGE, "r",
                              windows.section("\\Windows\\System32\\ntdll.dll", True), 2)
    Process(windows, 92, 4, "Registry")
    for pid, parent, name in [(320, 4, "smss.exe"), (432, 420, "csrss.exe"),
                              (508, 420, "wininit.exe"), (640, 508, "services.exe"),
                              (660, 508, "lsass.exe"), (812, 640, "svchost.exe"),
                              (900, 640, "svchost.exe"), (1500, 640, "spoolsv.exe"),
                              (2100, 2000, "explorer.exe"), (3000, 2100, "notepad.exe")]:
        process = Process(windows, pid, parent, name)
        load_system(process, name)
        process.make_user("C:\\Windows\\System32\\" + name, f'"{name}" -{pid}')
    # All its VADs are private: the library then gives none.
    lonely = Process(windows, 3100, 2100, "private.exe")
    lonely.private(0x10000, 4, "rw", [READ_WRITE] * 4)
    lonely.space.put(0x11000, b"private-needle")
    target = Process(windows, 3333, 2100, "target.exe")
    load_system(target, "target.exe", "C:\\Temp\\")
    fill_target(windows, target, mib)
    target.make_user("C:\\Temp\\target.exe", '"C:\\Temp\\target.exe" -v "a b"')
    # A thread's own block, at the PEB.
    target.space.map(Process.PEB + 2 * PAGE, READ_WRITE)
    target.space.put(Process.PEB + 2 * PAGE, words(0, STACK + 0x100000, STACK + 0xfe000, 0, 0, 0,
                                                   Process.PEB + 2 * PAGE))
    target.space.put(Process.PEB + 2 * PAGE + 0x60, words(Process.PEB))
    windows.finish()
    return bytes(windows.memory.data), windows.kernel.root


# ---- Another system -------------------------------------------------------------------------------


def make_other():
    """Page tables at 0x1000 and nothing that a system would have."""
    memory = Physical(17 * MIB, 0x2000)
    space = Space(memory, 0x1000)
    memory.next = 0x100000
    pages = [memory.page() for _ in range(6)]
    memory.next = 0x2000
    for i, text in enumerate([b"code", b"last", b"first", b"rodata", b"stack", b"kernel"]):
        memory.data[pages[i]:pages[i] + PAGE] = (text + b"-other-needle ").ljust(32) * 128
    space.map(0x400000, PRESENT | USER, frame=pages[0])
    space.map(0x500000, READ_WRITE, frame=pages[2])
    space.map(0x501000, READ_WRITE, frame=pages[1])
    space.map(0x600000, READ_ONLY, frame=pages[3])
    space.map(0x7ffffffde000, READ_WRITE, frame=pages[4])
    space.map(0xffff888000000000, KERNEL_DATA, frame=pages[5])
    memory.set_word(space.entry(0x40000000, 3), 0x200000 | READ_WRITE | LARGE)
    memory.data[0x200000:0x400000] = known_bytes()
    # As Linux writes a page that is on swap.
    memory.set_word(space.entry(0x700000), 0x12345 << 13)
    return bytes(memory.data)


# ---- The same memory in other forms ---------------------------------------------------------------


def pieces(raw):
    """Without what a PC has for its screen and its firmware below 1 MiB."""
    return [(0, raw[:0xa0000]), (MIB, raw[MIB:])]


def elf_core(raw):
    heads = [struct.pack("<IIQQQQQQ", 4, 0, 0x800, 0, 0, 16, 0, 0)]
    body = b""
    for address, data in pieces(raw):
        heads.append(struct.pack("<IIQQQQQQ", 1, 7, PAGE + len(body), 0, address, len(data),
                                 len(data), PAGE))
        body += data
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, len(heads), 0, 0, 0)
    return (head + b"".join(heads)).ljust(PAGE, b"\0") + body


def lime(raw):
    return b"".join(struct.pack("<IIQQ8x", 0x4c694d45, 1, address, address + len(data) - 1) + data
                    for address, data in pieces(raw))


def crash_dump(raw, tables):
    head = bytearray(0x2000)
    head[:8] = b"PAGEDU64"
    struct.pack_into("<II4QII", head, 8, 15, 19045, tables, 0, KERNEL + 0x3010, 0, 0x8664, 1)
    struct.pack_into("<IIQ", head, 0x88, 2, 0, sum(len(data) for _, data in pieces(raw)) // PAGE)
    for i, (address, data) in enumerate(pieces(raw)):
        struct.pack_into("<QQ", head, 0x98 + 16 * i, address // PAGE, len(data) // PAGE)
    struct.pack_into("<I", head, 0xf98, 1)
    return bytes(head) + b"".join(data for _, data in pieces(raw))


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    if len(sys.argv) > 2:
        (folder / "large.raw").write_bytes(make_windows(int(sys.argv[2]))[0])
        return
    raw, tables = make_windows()
    page_file = bytearray(16 * PAGE)
    at = PAGE_FILE_PAGE * PAGE
    page_file[at:at + 16] = b"pagefile-needle "
    for name, data in {"windows.raw": raw, "windows.core": elf_core(raw),
                       "windows.lime": lime(raw), "windows.dmp": crash_dump(raw, tables),
                       "other.raw": make_other(), "known.bin": known_bytes(),
                       "pagefile.sys": bytes(page_file)}.items():
        (folder / name).write_bytes(data)


main()
