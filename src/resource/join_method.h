/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of names of the join methods, as used in tokens and configuration files.
 *
 * A method is one name here and one file src/join/methods/NAME.c, which defines join_method_NAME (join/method.h).
 */
#ifndef RESOURCE_JOIN_METHOD_H
#define RESOURCE_JOIN_METHOD_H

#include "base/error.h"
#include "base/str.h"

#define JOIN_METHODS(ROW)                                                                                              \
        ROW(iam)                                                                                                       \
        ROW(token)                                                                                                     \
        JOIN_METHODS_OF_TEST(ROW)

#ifndef JOIN_METHODS_OF_TEST /* a unit test may add rows of its own */
#define JOIN_METHODS_OF_TEST(ROW)
#endif

/* The names; ends with NULL. */
extern const char *const join_method_names[];

/*
 * NULL for a method of this release; else INVALID_ARGUMENT, which distinguishes a method that only Teleport has from an
 * unknown one. `field` is its path, for the error.
 */
struct error *join_method_check(struct str method, const char *field) MUST_USE;

#endif
