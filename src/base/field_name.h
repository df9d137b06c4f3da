/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of HTTP fields, as servers behind a gateway compare them, and the characters of names and values.
 */
#ifndef BASE_FIELD_NAME_H
#define BASE_FIELD_NAME_H

#include "base/str.h"

/* Whether s is a token, as names of fields and methods are (tchar of RFC 9110 section 5.6.2); "" is none. */
bool http_is_token(struct str s);

/* Whether s has only characters of a field's value: no control bytes but tabs. */
bool http_is_field_value(struct str s);

/*
 * Whether two names are the same for servers that cannot tell '-' from other separators: CGI and WSGI pass "X_Forwarded_For" and
 * "X-Forwarded-For" to a program as one variable. Case does not matter.
 */
bool http_name_is_like(struct str name, struct str other);

/*
 * Whether the gateway alone may set a field towards the backend, in any spelling of http_name_is_like(): Teleport-*, X-Teleport-*,
 * Cf-Access-Token, X-Forwarded-*, X-Real-Ip, Forwarded. A user's are removed, in heads and in trailers.
 */
bool http_name_is_of_gateway(struct str name);

#endif
