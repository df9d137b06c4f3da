/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret bytes: wiped on release, never printed, compared in constant time.
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/compiler.h"
#include "base/str.h"

struct secret {
        char *ptr; /* owned; a NUL follows */
        size_t len;
};

/* Copies bytes into a secret of its own. */
struct secret secret_of(struct str bytes) MUST_USE;

/* Wipes and frees; a zeroed secret is allowed. */
void secret_release(struct secret *s);

/* The bytes, borrowed for a single call. */
static inline struct str secret_str(const struct secret *s)
{
        return (struct str){ s->ptr, s->len };
}

/* Time depends on the lengths only, not on the content. */
bool secret_equal(struct str a, struct str b);

/* Overwrites memory; the compiler does not optimise it away. */
void wipe(void *mem, size_t len);

#endif
