/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The only file that knows which library hashes: OpenSSL's libcrypto, through the EVP interface,
 * which picks the processor's SHA instructions where it has them.
 */
#include "export/sha256.h"

#include "base/err.h"

#if HAVE_CRYPTO

#include "base/late.h"
#include "base/mem.h"

#include <openssl/evp.h>

struct sha256; /* is an EVP_MD_CTX */

/* Loaded when the first hash is made. */
#ifdef CRYPTO_SONAME
#define CRYPTO_FUNCTIONS(X)                                                                        \
	X(EVP_DigestFinal_ex)                                                                      \
	X(EVP_DigestInit_ex)                                                                       \
	X(EVP_DigestUpdate)                                                                        \
	X(EVP_MD_CTX_free)                                                                         \
	X(EVP_MD_CTX_new)                                                                          \
	X(EVP_sha256)

static struct {
	CRYPTO_FUNCTIONS(LATE_MEMBER)
} crypto;

LATE_NOTE(CRYPTO_SONAME, "crypto", "SHA-256 hashes");

static int crypto_load(void)
{
	static const char *const names[] = {CRYPTO_FUNCTIONS(LATE_NAME)};

	_Static_assert(sizeof(crypto) == ARRAY_SIZE(names) * sizeof(void *), "a table of pointers");
	return late_load(&late_libraries[LATE_CRYPTO], names, ARRAY_SIZE(names), &crypto);
}

#define EVP_DigestFinal_ex crypto.EVP_DigestFinal_ex
#define EVP_DigestInit_ex crypto.EVP_DigestInit_ex
#define EVP_DigestUpdate crypto.EVP_DigestUpdate
#define EVP_MD_CTX_free crypto.EVP_MD_CTX_free
#define EVP_MD_CTX_new crypto.EVP_MD_CTX_new
#define EVP_sha256 crypto.EVP_sha256
#else
static int crypto_load(void)
{
	return 0;
}
#endif

static EVP_MD_CTX *context(struct sha256 *hash)
{
	return (EVP_MD_CTX *)hash;
}

static int failed(void)
{
	return err_set(MS_ERR_UNSUPPORTED, "the cryptographic library refuses to compute SHA-256");
}

int sha256_new(struct sha256 **ret_hash)
{
	EVP_MD_CTX *hash;
	int r = crypto_load();

	if (r < 0)
		return r;
	if (!(hash = EVP_MD_CTX_new()))
		return err_nomem();
	if (!EVP_DigestInit_ex(hash, EVP_sha256(), NULL)) {
		EVP_MD_CTX_free(hash);
		return failed();
	}
	*ret_hash = (struct sha256 *)hash;
	return 0;
}

void sha256_free(struct sha256 *hash)
{
	if (hash)
		EVP_MD_CTX_free(context(hash));
}

int sha256_add(struct sha256 *hash, const void *data, size_t size)
{
	return EVP_DigestUpdate(context(hash), data, size) ? 0 : failed();
}

int sha256_end(struct sha256 *hash, char ret_hex[SHA256_HEX])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char value[EVP_MAX_MD_SIZE];
	unsigned size = 0;

	if (!EVP_DigestFinal_ex(context(hash), value, &size) || size != SHA256_HEX / 2)
		return failed();
	for (unsigned i = 0; i < size; i++) {
		ret_hex[2 * i] = digits[value[i] >> 4];
		ret_hex[2 * i + 1] = digits[value[i] & 15];
	}
	ret_hex[2 * size] = '\0';
	return 0;
}

#else

static int missing(void)
{
	return err_set(MS_ERR_UNSUPPORTED,
		"this build cannot compute SHA-256; build memsift with the feature \"crypto\"");
}

int sha256_new(struct sha256 **ret_hash)
{
	(void)ret_hash;
	return missing();
}

void sha256_free(struct sha256 *hash)
{
	(void)hash;
}

int sha256_add(struct sha256 *hash, const void *data, size_t size)
{
	(void)hash, (void)data, (void)size;
	return missing();
}

int sha256_end(struct sha256 *hash, char ret_hex[SHA256_HEX])
{
	(void)hash, (void)ret_hex;
	return missing();
}

#endif
