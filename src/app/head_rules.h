/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The changes that an HTTP application's requests and responses get: fields of the gateway are ours, never a user's or a backend's; cookies of the
 * cluster never reach the backend, and the backend's stay with its host name.
 */
#ifndef APP_HEAD_RULES_H
#define APP_HEAD_RULES_H

#include "api.pb-c.h"
#include "config.pb-c.h"
#include "http/head.h"

/* Borrowed for the calls. */
struct head_rules {
        const char *client_ip, *host_name; /* of the user, and of this host */
        struct str assertion;                           /* the token of the user (assertion.h); "": none */
        const Cteleport__V1__AppRewriteConfig *rewrite; /* NULL: none */
        const Cteleport__V1__AppPermits *permits;       /* has the traits of the user; NULL: none */
};

/*
 * Sets X-Forwarded-For, -Host, -Proto, -Port, -Server, -Ssl, X-Real-Ip and Teleport-Jwt-Assertion. INVALID_ARGUMENT or RESOURCE_EXHAUSTED if the request has no room for
 * them. Then the headers of rewrite.headers take the place of fields of the same name; one with a template is sent for each value of the trait, or with the token,
 * and not at all without a value.
 */
struct error *head_rules_request(const struct head_rules *rules, struct http_request *r) MUST_USE;

/* `host` is the one of the request as the user sent it: redirects to the hosts of rewrite.redirect lead there. */
struct error *head_rules_response(const struct head_rules *rules, struct str host, struct http_response *r) MUST_USE;

#endif
