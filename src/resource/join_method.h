/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of join methods, as tokens and configuration files write them.
 */
#ifndef RESOURCE_JOIN_METHOD_H
#define RESOURCE_JOIN_METHOD_H

#include "base/error.h"
#include "base/str.h"

/*
 * NULL for a method of this release (`token`, `iam`); else INVALID_ARGUMENT, which distinguishes a method
 * that only Teleport has from an unknown one. `field` names where it stood.
 */
struct error *join_method_check(struct str method, const char *field) MUST_USE;

#endif
