/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cookies that pass a gateway (RFC 6265). Cookies of the gateway itself never reach a backend, and a backend can set cookies for its own
 * host name only.
 */
#ifndef HTTP_COOKIES_H
#define HTTP_COOKIES_H

#include "http/fields.h"

/* The value of the first cookie of that name in the Cookie fields of a request; {NULL, 0}: there is none. */
struct str http_cookie_get(const struct http_fields *f, struct str name);

/* Whether a cookie is one of the gateway. The name is as it came, without regard to what browsers permit. */
typedef bool http_cookie_match(struct str name);

/*
 * Those of the cluster: __Host-session, of web sessions, and __Host-grv_…, of sessions of applications. Browsers compare the prefix without
 * regard to case.
 */
bool http_cookie_is_of_gateway(struct str name);

/*
 * Removes the gateway's cookies from all Cookie fields of a request. The others stay as they are, in their order; a field without any
 * cookie is removed.
 */
struct error *http_cookies_remove(struct http_fields *f, http_cookie_match *is_ours) MUST_USE;

/*
 * Makes the Set-Cookie fields of a response safe for a backend beside others under one parent domain: the attribute Domain is removed, so
 * that the cookie belongs to the backend's host name alone; cookies of the gateway's names and cookies without a name (which browsers send
 * as if the start of their value were one) are removed.
 */
struct error *http_cookies_confine(struct http_fields *f, http_cookie_match *is_ours) MUST_USE;

#endif
