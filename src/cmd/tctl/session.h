/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of tctl: its configuration, its connection to the Auth Service, its memory. Who asks:
 *
 *     --auth-server             the person who logged in to that proxy with tsh
 *     Auth Service on this host its administrator, over data_dir/auth.sock
 *     otherwise                 the person of the current tsh profile, through the proxy
 *
 * tctl asks one thing after another, so a call blocks until it is answered.
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
        struct arena *arena; /* answers live as long as the session */
        Cteleport__V1__Config *config; /* as the file says; teleport is never NULL */
        const char *proxy; /* host:port of the proxy that is between, NULL: none */
        /* nothing below is for others */
        const char *socket_path; /* NULL: through the proxy */
        struct profile profile;  /* then; else empty */
        struct api_client api_client;      /* of one or the other */
};

/* The flags every command has: --config, --auth-server, --debug and so on. */
extern const struct flag session_flags[];

/*
 * Reads the configuration that the flags or the environment name, else /etc/teleport.yaml if there is one, and
 * finds out who asks. UNAUTHENTICATED or NOT_FOUND when nobody is logged in. Connects later, at the first call.
 */
struct error *session_open(struct session *s, const struct flags *given) MUST_USE;
void session_release(struct session *s);

/*
 * Asks method of AdminService ("ListTokens"); *ret lives as long as the session. UNAVAILABLE with a
 * sentence about where the Auth Service was looked for when it cannot be reached.
 */
struct error *session_request(struct session *s, const char *method, const ProtobufCMessage *request,
                          const ProtobufCMessageDescriptor *answer_type, ProtobufCMessage **ret) MUST_USE;

/* The same for methods that take a name, and for methods that take nothing (name NULL). */
struct error *session_request_name(struct session *s, const char *method, const char *name,
                               const ProtobufCMessageDescriptor *answer_type, ProtobufCMessage **ret) MUST_USE;

/*
 * Asks a method that lists for all of its pages, messages whose first field is a list and whose second says
 * where the next page begins. *ret may be rearranged; it is not NULL even when the list is empty.
 */
struct error *session_list(struct session *s, const char *method, const ProtobufCMessageDescriptor *page_type,
                           ProtobufCMessage ***ret, size_t *ret_count) MUST_USE;

#endif
