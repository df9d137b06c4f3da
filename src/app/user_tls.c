/* SPDX-License-Identifier: Apache-2.0 */
#include "app/user_tls.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "cluster/app_status.h"

enum { CHAIN_PEM_MAX = 64 * KiB };

static struct error *make_tls(const struct host_identity *id, const char *const *alpn, struct tls_context **ret)
{
        AUTO(buf) chain = BUF_MAX(CHAIN_PEM_MAX), users = BUF_MAX(CHAIN_PEM_MAX);

        host_identity_chain_pem(id, &chain);
        host_identity_user_trust_pem(id, &users);
        if (users.len == 0)
                return error_new(ERROR_UNAVAILABLE, "this host has not received the CA of users yet");
        TRY(tls_context_new((struct tls_options){ .is_server = true, .peer = TLS_PEER_REQUIRED, .trust_pem = buf_str(&users), .alpn = alpn,
                                                  .is_internal = true }, ret));
        struct error *err = tls_context_add(*ret, NULL, (struct tls_identity){ buf_str(&chain), secret_str(&id->tls_key_pem) });
        if (err != NULL) {
                tls_context_free(*ret);
                *ret = NULL;
        }
        return err;
}

struct error *user_tls_get(struct user_tls *u, const struct host_identity *id, bool is_tcp, struct tls_context **ret)
{
        /* The other protocol is accepted, too: the client gets the reason why the application does not follow. */
        static const char *const tcp[] = { APP_ALPN_TCP, APP_ALPN_HTTP, NULL }, *const http[] = { APP_ALPN_BARE, APP_ALPN_LOCAL, APP_ALPN_HTTP, APP_ALPN_TCP, NULL };
        struct tls_context **kept = is_tcp ? &u->tcp : &u->http;

        if (host_identity_is_empty(id))
                return error_new(ERROR_UNAVAILABLE, "this host has no certificate of the role App yet");
        if (u->serial == NULL || !str_equal(str_of(u->serial), id->serial))
                user_tls_release(u);
        if (*kept == NULL)
                TRY(make_tls(id, is_tcp ? tcp : http, kept));
        if (u->serial == NULL)
                u->serial = str_dup(id->serial);
        *ret = *kept;
        return NULL;
}

void user_tls_release(struct user_tls *u)
{
        tls_context_free(u->tcp);
        tls_context_free(u->http);
        free(u->serial);
        *u = (struct user_tls){ 0 };
}
