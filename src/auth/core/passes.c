/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/passes.h"

#include <stdlib.h>

#include "api.pb-c.h"
#include "auth/core/caller.h"
#include "auth/core/listener.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/source.h"
#include "loop/loop.h"
#include "pki/key.h"

/* A connection that a proxy has announced. */
struct pass {
        struct pass *next, **at; /* list, oldest first */
        struct instant since;
        uint8_t ticket[PASS_TICKET_SIZE];
        char *proxy;
        char client[ADDRESS_TEXT_MAX];
};

static void drop(struct passes *p, struct pass *pass)
{
        *pass->at = pass->next;
        if (pass->next != NULL)
                pass->next->at = pass->at;
        else
                p->newest = pass->at;
        map_remove(&p->by_ticket, str_of_bytes(pass->ticket, sizeof pass->ticket));
        shares_remove(&p->proxies, str_of(pass->proxy));
        free(pass->proxy);
        free(pass);
}

static void drop_expired(struct passes *p)
{
        struct instant now = loop_now(p->loop);

        while (p->oldest != NULL && instant_since(now, p->oldest->since).ns >= MILLISECONDS(TIMEOUT_PASS).ns)
                drop(p, p->oldest);
}

struct error *passes_announce(struct passes *p, struct str proxy, struct str client, uint8_t ret_ticket[PASS_TICKET_SIZE])
{
        char source[SOURCE_TEXT_MAX];

        source_of(client, source);
        if (str_equal(str_of(source), STR("?")) || client.len >= ADDRESS_TEXT_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "the address of the client is none");
        p->proxies.limits = (struct share_limits){ LIMIT_PASSES, LIMIT_PASSES_PROXY, 0, 0 };
        drop_expired(p);
        if (!shares_have_room(&p->proxies, proxy))
                return error_new(ERROR_RESOURCE_EXHAUSTED, "too many connections through this proxy are being established");
        struct pass *pass = NEW(struct pass);
        pass->since = loop_now(p->loop);
        random_bytes(pass->ticket, sizeof pass->ticket);
        pass->proxy = str_dup(proxy);
        memcpy(pass->client, client.ptr, client.len);
        pass->at = p->oldest == NULL ? &p->oldest : p->newest;
        *pass->at = pass;
        p->newest = &pass->next;
        map_put(&p->by_ticket, str_of_bytes(pass->ticket, sizeof pass->ticket), pass);
        shares_add(&p->proxies, proxy);
        memcpy(ret_ticket, pass->ticket, sizeof pass->ticket);
        return NULL;
}

bool passes_redeem(struct passes *p, struct str ticket, char ret_client[ADDRESS_TEXT_MAX])
{
        drop_expired(p);
        struct pass *pass = map_get(&p->by_ticket, ticket);
        if (pass == NULL)
                return false;
        memcpy(ret_client, pass->client, sizeof pass->client);
        drop(p, pass);
        return true;
}

void passes_release(struct passes *p)
{
        while (p->oldest != NULL)
                drop(p, p->oldest);
        map_release(&p->by_ticket);
        shares_release(&p->proxies);
}

void pass_announce_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct caller *c = rpc_call_caller(call);
        Cteleport__V1__PassResponse response = CTELEPORT__V1__PASS_RESPONSE__INIT;
        uint8_t ticket[PASS_TICKET_SIZE];
        struct error *err = passes_announce(auth_listener_passes(c->auth->listener), str_of(c->host_id),
                                            str_of(((const Cteleport__V1__PassRequest *)first)->remote_addr), ticket);

        if (err != NULL) {
                rpc_call_finish(call, err);
                return;
        }
        response.ticket = (ProtobufCBinaryData){ sizeof ticket, ticket };
        rpc_call_reply(call, &response.base);
}
