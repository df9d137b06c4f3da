/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Cookie field of a request (RFC 6265 section 4.2.1), and the cookie of a web session in it.
 *
 * Cookies with the prefix __Host- were set by this host over HTTPS, and by none of its subdomains, on which applications run.
 */
#ifndef PROXY_WEB_COOKIE_H
#define PROXY_WEB_COOKIE_H

#include "base/str.h"
#include "base/compiler.h"

#define SESSION_COOKIE "__Host-session" /* "<session ID>.<secret>" */
#define LOGIN_COOKIE   "__Host-login"   /* the token of the login form */

enum { COOKIE_SECRET_LEN = 64, COOKIE_TOKEN_LEN = 32 };

/* The value of the first cookie of that name, "" if there is none. Borrowed. */
struct str cookie_find(struct str field, const char *name);

/* Splits the value of SESSION_COOKIE: 32 hexadecimal digits, a dot, 64 hexadecimal digits. False: it has another form. */
bool session_cookie_split(struct str value, struct str *ret_id, struct str *ret_secret);

/* Whether s has that many lower-case hexadecimal digits, and nothing else. */
bool is_hex_of(struct str s, size_t len);

#endif
