/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blocking client of the cluster's gRPC services, for tsh and tctl: one call at a time, which returns with its answer.
 */
#ifndef CLIENT_API_CLIENT_H
#define CLIENT_API_CLIENT_H

#include <protobuf-c/protobuf-c.h>

#include "client/client.h"
#include "loop/loop.h"

/*
 * Calls the Auth Service as the user of a profile or as the administrator of its host, or a proxy without authentication.
 * A zeroed struct is empty.
 */
struct api_client {
        struct arena *arena; /* holds the answers */
        /* private from here on */
        const struct profile *profile; /* else NULL */
        const char *socket_path;       /* else NULL */
        const char *web_addr;          /* of the proxy, if neither is set */
        bool is_insecure;
        bool is_unauthenticated;       /* the profile verifies the server only */
        struct loop loop;
        struct rpc_client *client; /* NULL until the first call, and after the connection is lost */
        struct error *err;         /* of the step that runs */
        bool has_loop;
};

/* Connects at the first call. Pointers are borrowed until the release. */
struct error *api_client_open(struct api_client *a, const struct profile *profile) MUST_USE;
/* Calls that the Auth Service answers to all, verified by the CAs of the profile. */
struct error *api_client_open_unauthenticated(struct api_client *a, const struct profile *profile) MUST_USE;
struct error *api_client_open_unix(struct api_client *a, const char *socket_path) MUST_USE;
struct error *api_client_open_proxy(struct api_client *a, const char *web_addr, bool is_insecure) MUST_USE;
void api_client_release(struct api_client *a);

/* Connects now if there is no connection yet; the error shows whether the server is reachable. */
struct error *api_client_connect(struct api_client *a) MUST_USE;

/* Calls the method ("/cteleport.v1.AdminService/ListNodes"); *ret lives as long as the client. */
struct error *api_client_request(struct api_client *a, const char *method, const ProtobufCMessage *request,
                        const ProtobufCMessageDescriptor *answer_type, ProtobufCMessage **ret) MUST_USE;

/* Frees all answers so far, for callers that make many calls. */
void api_client_forget(struct api_client *a);

/*
 * Calls a list method for all of its pages: messages whose first field is a list and whose second is the start
 * of the next page. *ret may be rearranged; it is not NULL even when the list is empty. DATA_LOSS when
 * a page does not advance.
 */
struct error *api_client_list(struct api_client *a, const char *method, const ProtobufCMessageDescriptor *page_type,
                         ProtobufCMessage ***ret, size_t *ret_count) MUST_USE;

#endif
