/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl as a table of functions, loaded only by processes that send requests to AWS or to an ACME server: the library and its dependencies (LDAP,
 * Kerberos, two TLS libraries …) use several megabytes and enlarge the attack surface.
 */
#ifndef NET_CURL_API_H
#define NET_CURL_API_H

#include <curl/curl.h>

#include "base/error.h"

#define CURL_FUNCTIONS(X)                                                                                              \
        X(global_init)                                                                                                 \
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

/* Loads the library at the first call. FAILED_PRECONDITION when it is missing or too old. */
struct error *curl_api_load(const struct curl_api **ret) MUST_USE;

#endif
