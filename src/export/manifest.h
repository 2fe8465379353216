/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The manifest of an evidence folder; folder.c has ms_folder_verify(), which compares the two.
 *
 * manifest.json is a document of the json exporter: {"records":[...]}, in which each record of
 * the type "file" names a file of the folder with its size and SHA-256. White space does not
 * matter. Without the feature "verify" manifest_read() fails with MS_ERR_UNSUPPORTED.
 */
#ifndef MS_EXPORT_MANIFEST_H
#define MS_EXPORT_MANIFEST_H

#include "base/arena.h"
#include "base/vec.h"

#include "export/sha256.h"

#include "memsift.h"

#define MANIFEST_NAME "manifest.json"

enum {
	MANIFEST_SIZE_MAX = 256 * 1024 * 1024,
	MANIFEST_RECORD_MAX = 8 * 1024 * 1024, /* bytes of one record */
	MANIFEST_PATH_MAX = 4095,
	FOLDER_DEPTH_MAX = 64, /* folders in folders */
};

/*
 * Records of type "file": path, size, sha256, status. ms_folder_verify() hands out those of the
 * manifest first, by path, with the status ok, changed or missing, then those it does not name,
 * with the status extra. The size is what was found (of a missing file, what the manifest says),
 * the hash likewise; a hash that was not computed, since the size differs already, is absent.
 * Changed is also what is no regular file, lies behind a symbolic link, or cannot be read; where
 * permission is missing, a record of ms_schema_error before it says so.
 */
extern const struct ms_schema schema_file;

enum { FILE_PATH, FILE_SIZE, FILE_SHA256, FILE_STATUS, FILE_COLUMNS };

struct manifest_entry {
	const char *path; /* stays inside the folder, as far as its text tells */
	uint64_t size;
	char sha256[SHA256_HEX]; /* lower case */
};

struct manifest {
	VEC(struct manifest_entry) entries; /* sorted by path, each path once */
	struct arena strings;
};

/*
 * Reads a manifest from where the stream is to its end. Fails with MS_ERR_FORMAT for anything
 * that is not a manifest, among it a path that is absolute, has "." or ".." in it or comes twice.
 */
int manifest_read(FILE *stream, struct manifest *ret_manifest);
void manifest_done(struct manifest *manifest);

const struct manifest_entry *manifest_find(const struct manifest *manifest, const char *path);

/* 0, or MS_ERR_UNSUPPORTED in a build that cannot read manifests. */
int manifest_supported(void);

#endif
