/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preflight requests (Fetch, "CORS-preflight request"): a browser asks without cookies whether a page of another origin may send a
 * request to an application. The proxy answers by the application's `cors`.
 */
#ifndef PROXY_APPS_APP_PREFLIGHT_H
#define PROXY_APPS_APP_PREFLIGHT_H

#include "common.pb-c.h"
#include "http/head.h"

bool app_preflight_is(const struct http_request *r);

/*
 * Adds the fields of the answer. False: the setting allows the page nothing, and fields are unchanged. *ret_err (owned): the setting has
 * values that are none of a field.
 */
bool app_preflight_put(const Cteleport__V1__AppCors *cors, const struct http_request *r, struct http_fields *fields, struct error **ret_err);

#endif
