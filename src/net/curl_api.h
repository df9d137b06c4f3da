/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl as a table of functions that exists only while somebody needs it.
 *
 * The library and what it pulls in (LDAP, Kerberos, two TLS libraries …) cost a process several
 * megabytes; a host that joins once a day does not keep them.
 */
#ifndef NET_CURL_API_H
#define NET_CURL_API_H

#include <curl/curl.h>

#include "base/error.h"

#define CURL_FUNCTIONS(X)                                                                                              \
        X(global_init)                                                                                                 \
        X(global_cleanup)                                                                                              \
        X(slist_append)                                                                                                \
        X(slist_free_all)                                                                                              \
        X(easy_init)                                                                                                   \
        X(easy_setopt)                                                                                                 \
        X(easy_getinfo)                                                                                                \
        X(easy_strerror)                                                                                               \
        X(easy_cleanup)                                                                                                \
        X(multi_init)                                                                                                  \
        X(multi_setopt)                                                                                                \
        X(multi_add_handle)                                                                                            \
        X(multi_remove_handle)                                                                                         \
        X(multi_socket_action)                                                                                         \
        X(multi_info_read)                                                                                             \
        X(multi_assign)                                                                                                \
        X(multi_cleanup)                                                                                               \
        X(version_info)

struct curl_api {
#define CURL_MEMBER(name) __typeof__(curl_##name) *name;
        CURL_FUNCTIONS(CURL_MEMBER)
#undef CURL_MEMBER
};

/* Loads the library if it is not loaded. FAILED_PRECONDITION when it is missing or too old. */
struct error *curl_api_load(void) MUST_USE;

/* The functions; only between curl_api_hold() and curl_api_drop(). */
const struct curl_api *curl_api_hold(void);
void curl_api_drop(void);

/* A thread of the library may be running that nobody can wait for: it stays loaded from now on. */
void curl_api_pin(void);

/* Unloads unless held or pinned. */
void curl_api_unload(void);

#endif
