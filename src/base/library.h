/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared libraries that only some processes need, or that a process needs only for a moment. These processes load them; anywhere else a library
 * would cost memory (each has pages that the loader writes in every process) and be code that an attacker can use.
 *
 * The functions of a library are a table: a struct with a pointer for each, filled by library_load().
 */
#ifndef BASE_LIBRARY_H
#define BASE_LIBRARY_H

#include <stddef.h>

#include "base/error.h"

/* A function of a library, and the offset of its pointer in the table. */
struct library_function {
        const char *name;
        size_t offset;
};

struct library {
        const char *file;    /* looked up by dlopen(3), e.g. "libz.so.1" */
        const char *package; /* that has it, with the oldest version if one is required; for the hint */
        const struct library_function *functions;
        size_t function_count;
};

/*
 * Loads the library for the rest of the process and fills the table. Maps executable pages and opens files, so a process calls it before it enters its
 * sandbox. FAILED_PRECONDITION if the library or one of the functions is missing; the table is unchanged then.
 */
struct error *library_load(const struct library *library, void *ret_table) MUST_USE;

/* A library that is loaded for a moment. A zeroed one is not loaded. */
struct library_use {
        void *handle; /* of dlopen(3) */
};

/* The same, until the use is released. Then nothing of the library may be in use: neither a function nor a constant. */
struct error *library_use(const struct library *library, void *ret_table, struct library_use *ret) MUST_USE;
void library_use_release(struct library_use *use);

#endif
