/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cors of an application: which pages of other origins may send it requests for which browsers ask first (Fetch, "CORS-preflight
 * request").
 */
#ifndef RESOURCE_APP_CORS_H
#define RESOURCE_APP_CORS_H

#include "base/error.h"
#include "base/str.h"
#include "common.pb-c.h"

/* Checks the setting of an application with this uri; NULL is none. INVALID_ARGUMENT names the key below cors, and the problem. */
struct error *app_cors_check(const Cteleport__V1__AppCors *cors, struct str uri) MUST_USE;

/*
 * Whether a page of the origin may send requests; cors may be NULL. *ret_is_any: every page may, and none with credentials.
 */
bool app_cors_permits(const Cteleport__V1__AppCors *cors, struct str origin, bool *ret_is_any);

#endif
