/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the cluster one thing after another, as programs for people do: a call blocks until it is answered.
 */
#ifndef CLIENT_ASKER_H
#define CLIENT_ASKER_H

#include <protobuf-c/protobuf-c.h>

#include "client/client.h"
#include "loop/loop.h"

/*
 * The Auth Service as the person of a profile or as the administrator of its host, or a proxy as a stranger.
 * Zeroed is empty.
 */
struct asker {
        struct arena *arena; /* answers live as long as the asker */
        /* nothing below is for others */
        const struct profile *profile; /* else NULL */
        const char *socket_path;       /* else NULL */
        const char *web_addr;          /* of the proxy when neither is there */
        bool is_insecure;
        struct loop loop;
        struct rpc_client *client; /* NULL until the first call, and after the connection is lost */
        struct error *err;         /* of the step that runs */
        bool has_loop;
};

/* Connects later, at the first call. What is pointed to is borrowed until the release. */
struct error *asker_open(struct asker *a, const struct profile *profile) MUST_USE;
struct error *asker_open_unix(struct asker *a, const char *socket_path) MUST_USE;
struct error *asker_open_proxy(struct asker *a, const char *web_addr, bool is_insecure) MUST_USE;
void asker_release(struct asker *a);

/* Connects now if it has not: for those who want to know whether somebody is there. */
struct error *asker_connect(struct asker *a) MUST_USE;

/* Asks the method ("/cteleport.v1.AdminService/ListNodes"); *ret lives as long as the asker. */
struct error *asker_ask(struct asker *a, const char *method, const ProtobufCMessage *request,
                        const ProtobufCMessageDescriptor *answer_type, ProtobufCMessage **ret) MUST_USE;

/* Gives back all answers so far, for those who ask without end. */
void asker_forget(struct asker *a);

/*
 * Asks a method that lists for all of its pages: messages whose first field is a list and whose second says
 * where the next page begins. *ret may be rearranged; it is not NULL even when the list is empty. DATA_LOSS when
 * the pages do not go on.
 */
struct error *asker_list(struct asker *a, const char *method, const ProtobufCMessageDescriptor *page_type,
                         ProtobufCMessage ***ret, size_t *ret_count) MUST_USE;

#endif
