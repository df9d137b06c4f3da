/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of tctl: its configuration, its connection to the Auth Service, its memory. Its identity:
 *
 *     --auth-server             the user who logged in to that proxy with tsh
 *     Auth Service on this host its administrator, over data_dir/auth.sock
 *     otherwise                 the user of the current tsh profile, through the proxy
 *
 * A call blocks until it is answered.
 */
#ifndef CMD_TCTL_SESSION_H
#define CMD_TCTL_SESSION_H

#include "api.pb-c.h"
#include "base/arena.h"
#include "base/error.h"
#include "client/api_client.h"
#include "cmd/common/flags.h"
#include "config.pb-c.h"

struct session {
        struct arena *arena; /* holds the answers */
        Cteleport__V1__Config *config; /* from the file; teleport is never NULL */
        const char *proxy; /* host:port of the proxy in use, NULL: none */
        /* private from here on */
        const char *socket_path; /* NULL: through the proxy */
        struct profile profile;  /* then; else empty */
        struct api_client api_client;      /* of one or the other */
};

/* The flags every command has: --config, --auth-server, --debug and so on. */
extern const struct flag session_flags[];

/*
 * Reads the configuration that the flags or the environment name, else /etc/teleport.yaml if there is one, and
 * selects the identity. UNAUTHENTICATED or NOT_FOUND without a login. Connects at the first call.
 */
struct error *session_open(struct session *s, const struct flags *given) MUST_USE;
void session_release(struct session *s);

/* Whether it is the administrator of this machine's Auth Service, not a user behind a proxy. */
bool session_is_local(const struct session *s);

/*
 * Calls a method of AdminService ("ListTokens"); *ret lives as long as the session. UNAVAILABLE with the addresses
 * of the Auth Service when it cannot be reached.
 */
struct error *session_request(struct session *s, const char *method, const ProtobufCMessage *request,
                          const ProtobufCMessageDescriptor *answer_type, ProtobufCMessage **ret) MUST_USE;

/* The same for methods with a name as argument, and for methods without arguments (name NULL). */
struct error *session_request_name(struct session *s, const char *method, const char *name,
                               const ProtobufCMessageDescriptor *answer_type, ProtobufCMessage **ret) MUST_USE;

/*
 * Calls a list method for all of its pages: messages whose first field is a list and whose second is the start
 * of the next page. *ret may be rearranged; it is not NULL even when the list is empty.
 */
struct error *session_list(struct session *s, const char *method, const ProtobufCMessageDescriptor *page_type,
                           ProtobufCMessage ***ret, size_t *ret_count) MUST_USE;

#endif
