/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The changes that an HTTP application's requests and responses get: fields of the gateway are ours, never a user's or a backend's; cookies of the
 * cluster never reach the backend, and the backend's stay with its host name.
 */
#ifndef APP_HEAD_RULES_H
#define APP_HEAD_RULES_H

#include "http/head.h"

/* Borrowed for the calls. */
struct head_rules {
        const char *client_ip, *host_name; /* of the user, and of this host */
        struct str assertion;              /* the token of the user (assertion.h); "": none */
};

/*
 * Sets X-Forwarded-For, -Host, -Proto, -Port, -Server, -Ssl, X-Real-Ip and Teleport-Jwt-Assertion. INVALID_ARGUMENT or RESOURCE_EXHAUSTED if the request has no room for
 * them.
 */
struct error *head_rules_request(const struct head_rules *rules, struct http_request *r) MUST_USE;

/* `host` is the one of the request. */
struct error *head_rules_response(const struct head_rules *rules, struct str host, struct http_response *r) MUST_USE;

#endif
