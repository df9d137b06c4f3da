/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the cluster one thing after another, as programs for people do: a call blocks until it is answered.
 */
#ifndef CLIENT_API_CLIENT_H
#define CLIENT_API_CLIENT_H

#include <protobuf-c/protobuf-c.h>

#include "client/client.h"
#include "loop/loop.h"

/*
 * The Auth Service as the person of a profile or as the administrator of its host, or a proxy as a stranger.
 * Zeroed is empty.
 */
struct api_client {
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
struct error *api_client_open(struct api_client *a, const struct profile *profile) MUST_USE;
struct error *api_client_open_unix(struct api_client *a, const char *socket_path) MUST_USE;
struct error *api_client_open_proxy(struct api_client *a, const char *web_addr, bool is_insecure) MUST_USE;
void api_client_release(struct api_client *a);

/* Connects now if it has not: for those who want to know whether somebody is there. */
struct error *api_client_connect(struct api_client *a) MUST_USE;

/* Asks the method ("/cteleport.v1.AdminService/ListNodes"); *ret lives as long as the asker. */
struct error *api_client_request(struct api_client *a, const char *method, const ProtobufCMessage *request,
                        const ProtobufCMessageDescriptor *answer_type, ProtobufCMessage **ret) MUST_USE;

/* Gives back all answers so far, for those who ask without end. */
void api_client_forget(struct api_client *a);

/*
 * Asks a method that lists for all of its pages: messages whose first field is a list and whose second says
 * where the next page begins. *ret may be rearranged; it is not NULL even when the list is empty. DATA_LOSS when
 * the pages do not go on.
 */
struct error *api_client_list(struct api_client *a, const char *method, const ProtobufCMessageDescriptor *page_type,
                         ProtobufCMessage ***ret, size_t *ret_count) MUST_USE;

#endif
