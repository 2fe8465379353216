/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What memsift uses of MemProcFS's library, spelled out: it is loaded at run time and none of its
 * headers is needed to build. Layouts are those of 64-bit builds of version 5; the version numbers
 * of the structures have been the same from 5.3 on and are checked in each answer.
 */
#ifndef MS_BACKEND_MEMPROCFS_API_H
#define MS_BACKEND_MEMPROCFS_API_H

#include <stddef.h>
#include <stdint.h>

enum {
	VMM_MAJOR = 5,
	VMM_PTE_VERSION = 2,
	VMM_VAD_VERSION = 6,
	VMM_VADEX_VERSION = 4,
	VMM_MODULE_VERSION = 6,
	VMM_THREAD_VERSION = 4,
	VMM_PROCESS_VERSION = 7,

	VMM_STRING_KERNEL_PATH = 1,
	VMM_STRING_USER_PATH = 2,
	VMM_STRING_COMMAND_LINE = 3,

	VMM_MODULE_DEBUG_INFO = 1,
	VMM_MODULE_VERSION_INFO = 2,

	VMM_READ_NOCACHE = 1,
	VMM_PAGE = 4096,
};

/* enum-like, but 32 and 64 bits wide */
#define VMM_PROCESS_MAGIC UINT64_C(0xc0ffee663df9301e)
#define VMM_SCATTER_VERSION UINT32_C(0xc0fe0002)
#define VMM_LC_CONFIG_VERSION UINT32_C(0xc0fd0002)

#define VMM_OPT_SYSTEM UINT64_C(0x2000000100000000)
#define VMM_OPT_MEMORY_MODEL UINT64_C(0x2000000200000000)
#define VMM_OPT_VERSION_MAJOR UINT64_C(0x2000000900000000)
#define VMM_OPT_VERSION_MINOR UINT64_C(0x2000000a00000000)
#define VMM_OPT_VERSION_REVISION UINT64_C(0x2000000b00000000)
#define VMM_OPT_WIN_MAJOR UINT64_C(0x2000010100000000)
#define VMM_OPT_WIN_MINOR UINT64_C(0x2000010200000000)
#define VMM_OPT_WIN_BUILD UINT64_C(0x2000010300000000)
#define VMM_OPT_LEECHCORE UINT64_C(0x4000001000000000)
#define VMM_OPT_REFRESH_MEMORY UINT64_C(0x2001100000000000)
#define VMM_OPT_REFRESH_TLB UINT64_C(0x2001080000000000)
#define VMM_OPT_REFRESH_PROCESSES UINT64_C(0x2001000100000000)
#define LC_OPT_VOLATILE UINT64_C(0x1000000b00000000)

enum vmm_system {
	VMM_SYSTEM_PHYSICAL, /* nothing was recognised: physical memory only */
	VMM_SYSTEM_UNKNOWN_64,
	VMM_SYSTEM_WINDOWS_64,
	VMM_SYSTEM_UNKNOWN_32,
	VMM_SYSTEM_WINDOWS_32,
};

enum vmm_model { VMM_MODEL_NONE, VMM_MODEL_X86, VMM_MODEL_X86PAE, VMM_MODEL_X64, VMM_MODEL_ARM64 };

struct vmm_process {
	uint64_t magic;
	uint16_t version, size;
	uint32_t model, system;
	uint32_t user_only; /* no memory of the kernel's in its maps */
	uint32_t pid, ppid;
	uint32_t state; /* 0: it runs */
	char name[16], long_name[64];
	uint32_t unused;
	uint64_t dtb, dtb_user;
	uint64_t eprocess, peb, unused_win;
	uint32_t wow64, peb32, session;
	uint64_t luid;
	char sid[260];
	uint32_t integrity;
};

_Static_assert(offsetof(struct vmm_process, user_only) == 0x14, "layout");
_Static_assert(offsetof(struct vmm_process, pid) == 0x18, "layout");
_Static_assert(offsetof(struct vmm_process, state) == 0x20, "layout");
_Static_assert(offsetof(struct vmm_process, name) == 0x24, "layout");
_Static_assert(offsetof(struct vmm_process, long_name) == 0x34, "layout");
_Static_assert(offsetof(struct vmm_process, dtb) == 0x78, "layout");
_Static_assert(offsetof(struct vmm_process, eprocess) == 0x88, "layout");
_Static_assert(offsetof(struct vmm_process, peb) == 0x90, "layout");
_Static_assert(offsetof(struct vmm_process, wow64) == 0xa0, "layout");
_Static_assert(offsetof(struct vmm_process, session) == 0xa8, "layout");
_Static_assert(offsetof(struct vmm_process, sid) == 0xb8, "layout");
_Static_assert(offsetof(struct vmm_process, integrity) == 0x1bc, "layout");
_Static_assert(sizeof(struct vmm_process) == 0x1c0, "layout");

/* How the maps of pages, VADs, modules and threads begin; the entries follow. */
struct vmm_map {
	uint32_t version;
	uint32_t unused[5];
	uint64_t text;
	uint32_t text_size;
	uint32_t count;
};

_Static_assert(offsetof(struct vmm_map, count) == 0x24, "layout");
_Static_assert(sizeof(struct vmm_map) == 0x28, "layout");

struct vmm_pte {
	uint64_t base, pages;
	uint64_t flags; /* VMM_PTE_* */
	uint32_t wow64, unused;
	const char *text;
	uint32_t unused_too;
	uint32_t software; /* pages of these that the processor would not find */
};

#define VMM_PTE_WRITE (UINT64_C(1) << 1)
#define VMM_PTE_NO_EXECUTE (UINT64_C(1) << 63)

_Static_assert(offsetof(struct vmm_pte, flags) == 0x10, "layout");
_Static_assert(offsetof(struct vmm_pte, text) == 0x20, "layout");
_Static_assert(offsetof(struct vmm_pte, software) == 0x2c, "layout");
_Static_assert(sizeof(struct vmm_pte) == 0x30, "layout");

struct vmm_vad {
	uint64_t start, last; /* last: of the last byte */
	uint64_t vad;
	uint32_t bits; /* VMM_VAD_*; type in the lowest three, protection in the next five */
	uint32_t commit;
	uint32_t unused;
	uint32_t prototype_size;
	uint64_t prototypes, subsection;
	const char *text;
	uint64_t unused_too, file;
	uint32_t ex_pages, ex_base;
	uint64_t unused_end;
};

enum {
	VMM_VAD_TYPE = 7, /* a mask */
	VMM_VAD_PROTECTION_SHIFT = 3,
	VMM_VAD_PROTECTION = 31, /* a mask, after the shift */
	VMM_VAD_IMAGE = 1 << 8,
	VMM_VAD_FILE = 1 << 9,
	VMM_VAD_PAGE_FILE = 1 << 10,
	VMM_VAD_PRIVATE = 1 << 11,
	VMM_VAD_TEB = 1 << 12,
	VMM_VAD_STACK = 1 << 13,
	VMM_VAD_HEAP = 1 << 23,

	VMM_VAD_TYPE_DEVICE = 1,
	VMM_VAD_TYPE_ROTATE = 6,
	VMM_VAD_GUARD = 2, /* of the two upper bits of the protection */
};

_Static_assert(offsetof(struct vmm_vad, bits) == 0x18, "layout");
_Static_assert(offsetof(struct vmm_vad, prototype_size) == 0x24, "layout");
_Static_assert(offsetof(struct vmm_vad, text) == 0x38, "layout");
_Static_assert(offsetof(struct vmm_vad, file) == 0x48, "layout");
_Static_assert(offsetof(struct vmm_vad, ex_pages) == 0x50, "layout");
_Static_assert(offsetof(struct vmm_vad, ex_base) == 0x54, "layout");
_Static_assert(sizeof(struct vmm_vad) == 0x60, "layout");

struct vmm_vadex_map {
	uint32_t version;
	uint32_t unused[4];
	uint32_t count;
};

_Static_assert(offsetof(struct vmm_vadex_map, count) == 0x14, "layout");
_Static_assert(sizeof(struct vmm_vadex_map) == 0x18, "layout");

/* One page, with where its bytes are. */
struct vmm_vadex {
	uint32_t type; /* enum vmm_page */
	uint8_t level, pte_flags, unused[2];
	uint64_t address, physical, pte;
	uint32_t unused_too, prototype_type;
	uint64_t prototype_physical, prototype_pte, vad;
};

_Static_assert(offsetof(struct vmm_vadex, address) == 0x08, "layout");
_Static_assert(offsetof(struct vmm_vadex, prototype_type) == 0x24, "layout");
_Static_assert(offsetof(struct vmm_vadex, vad) == 0x38, "layout");
_Static_assert(sizeof(struct vmm_vadex) == 0x40, "layout");

enum vmm_page {
	VMM_PAGE_NONE,
	VMM_PAGE_HARDWARE,
	VMM_PAGE_TRANSITION,
	VMM_PAGE_PROTOTYPE,
	VMM_PAGE_DEMAND_ZERO,
	VMM_PAGE_COMPRESSED,
	VMM_PAGE_IN_PAGE_FILE,
	VMM_PAGE_IN_FILE,
	VMM_PAGE_COUNT
};

struct vmm_module {
	uint64_t base, entry;
	uint32_t size, wow64;
	const char *name;
	uint64_t unused;
	const char *path;
	uint32_t type; /* enum vmm_module_type */
	uint32_t file_size, sections, exports, imports, unused_too;
	uint64_t unused_end[3];
	const struct vmm_debug_info *debug;
	const struct vmm_version_info *version;
};

enum vmm_module_type {
	VMM_MODULE_NORMAL,
	VMM_MODULE_DATA,
	VMM_MODULE_UNLINKED,
	VMM_MODULE_INJECTED
};

_Static_assert(offsetof(struct vmm_module, size) == 0x10, "layout");
_Static_assert(offsetof(struct vmm_module, name) == 0x18, "layout");
_Static_assert(offsetof(struct vmm_module, path) == 0x28, "layout");
_Static_assert(offsetof(struct vmm_module, type) == 0x30, "layout");
_Static_assert(offsetof(struct vmm_module, debug) == 0x60, "layout");
_Static_assert(offsetof(struct vmm_module, version) == 0x68, "layout");
_Static_assert(sizeof(struct vmm_module) == 0x70, "layout");

struct vmm_debug_info {
	uint32_t age, unused;
	uint8_t guid[16];
	const char *guid_text, *pdb;
};

_Static_assert(offsetof(struct vmm_debug_info, guid) == 0x08, "layout");
_Static_assert(sizeof(struct vmm_debug_info) == 0x28, "layout");

struct vmm_version_info {
	const char *company, *description, *file_version, *internal_name, *copyright,
		*original_name, *product_name, *product_version;
};

_Static_assert(offsetof(struct vmm_version_info, file_version) == 0x10, "layout");
_Static_assert(offsetof(struct vmm_version_info, product_version) == 0x38, "layout");
_Static_assert(sizeof(struct vmm_version_info) == 0x40, "layout");

struct vmm_thread {
	uint32_t tid, pid, exit_status;
	uint8_t state, running, priority, base_priority;
	uint64_t ethread, teb, created, exited, start, stack_base, stack_limit;
	uint64_t kernel_stack_base, kernel_stack_limit, trap_frame, instruction, stack_pointer;
	uint64_t unused[8];
	uint64_t token, win32_start;
};

_Static_assert(offsetof(struct vmm_thread, teb) == 0x18, "layout");
_Static_assert(offsetof(struct vmm_thread, exited) == 0x28, "layout");
_Static_assert(offsetof(struct vmm_thread, stack_base) == 0x38, "layout");
_Static_assert(offsetof(struct vmm_thread, stack_limit) == 0x40, "layout");
_Static_assert(offsetof(struct vmm_thread, stack_pointer) == 0x68, "layout");
_Static_assert(offsetof(struct vmm_thread, win32_start) == 0xb8, "layout");
_Static_assert(sizeof(struct vmm_thread) == 0xc0, "layout");

/* One read, within one page. */
struct vmm_scatter {
	uint32_t version;
	uint32_t good;
	uint64_t address;
	void *data;
	uint32_t size, depth;
	uint64_t stack[12];
};

_Static_assert(offsetof(struct vmm_scatter, data) == 0x10, "layout");
_Static_assert(offsetof(struct vmm_scatter, stack) == 0x20, "layout");
_Static_assert(sizeof(struct vmm_scatter) == 0x80, "layout");

/* LeechCore's, to open a device alone and hear what it has to say. */
struct lc_config {
	uint32_t version, verbosity;
	char device[260], remote[260];
	int (*print)(const char *format, ...);
	uint64_t address_max;
	uint32_t is_volatile, is_writable, is_remote, no_compression;
	char device_name[260];
	uint32_t unused;
};

_Static_assert(offsetof(struct lc_config, device) == 0x08, "layout");
_Static_assert(offsetof(struct lc_config, remote) == 0x10c, "layout");
_Static_assert(offsetof(struct lc_config, print) == 0x210, "layout");
_Static_assert(offsetof(struct lc_config, is_volatile) == 0x220, "layout");
_Static_assert(offsetof(struct lc_config, device_name) == 0x230, "layout");
_Static_assert(sizeof(struct lc_config) == 0x338, "layout");

/* The functions; a BOOL is 32 bits wide everywhere. */
struct vmm_api {
	void *(*initialize)(uint32_t argc, const char *const argv[]);
	void (*close)(void *vmm);
	void (*mem_free)(void *block);
	size_t (*mem_size)(void *block);
	uint32_t (*config_get)(void *vmm, uint64_t option, uint64_t *ret_value);
	uint32_t (*config_set)(void *vmm, uint64_t option, uint64_t value);
	uint32_t (*process)(void *vmm, uint32_t pid, struct vmm_process *info, size_t *size);
	uint32_t (*processes)(void *vmm, struct vmm_process **ret_list, uint32_t *ret_count);
	char *(*process_string)(void *vmm, uint32_t pid, uint32_t what);
	uint32_t (*pte_map)(void *vmm, uint32_t pid, uint32_t identify, struct vmm_map **ret_map);
	uint32_t (*vad_map)(void *vmm, uint32_t pid, uint32_t identify, struct vmm_map **ret_map);
	uint32_t (*module_map)(void *vmm, uint32_t pid, struct vmm_map **ret_map, uint32_t flags);
	uint32_t (*read_scatter)(
		void *vmm, uint32_t pid, struct vmm_scatter **list, uint32_t count, uint32_t flags);
	uint32_t (*translate)(void *vmm, uint32_t pid, uint64_t address, uint64_t *ret_physical);

	/* NULL where the library lacks them. */
	uint32_t (*vadex_map)(void *vmm, uint32_t pid, uint32_t page, uint32_t count,
		struct vmm_vadex_map **ret_map);
	uint32_t (*thread_map)(void *vmm, uint32_t pid, struct vmm_map **ret_map);
	void *(*lc_create)(struct lc_config *config);
	void (*lc_close)(void *leechcore);
	uint32_t (*lc_option)(void *leechcore, uint64_t option, uint64_t *ret_value);
};

#endif
