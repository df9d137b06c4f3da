/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/proxy_list.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "net/socket.h"
#include "pki/key.h"
#include "rpc/pb.h"

enum { LIST_ARENA_MAX = 256 * KiB };

struct proxy_list {
        struct proxy_list_host host;
        struct arena *arena; /* of the message */
        Cteleport__Internal__V1__Proxies message;
};

static bool is_given(const char *text)
{
        return text != NULL && text[0] != '\0';
}

static struct arena *begin(Cteleport__Internal__V1__Proxies *message)
{
        struct arena *a = arena_new(LIST_ARENA_MAX);
        AUTO(buf) revision = BUF_MAX(64);

        random_uuid(&revision);
        cteleport__internal__v1__proxies__init(message);
        message->revision = pb_text(str_to_c(a, buf_str(&revision)));
        message->proxies = arena_alloc(a, PROXY_LIST_MAX * sizeof(*message->proxies));
        return a;
}

static void add(struct arena *a, Cteleport__Internal__V1__Proxies *message, const char *host_id, const char *addr, bool is_away)
{
        Cteleport__Internal__V1__ProxyAddress *p = arena_alloc(a, sizeof(*p));

        if (message->n_proxies == PROXY_LIST_MAX)
                return;
        cteleport__internal__v1__proxy_address__init(p);
        p->host_id = pb_text(str_to_c(a, str_of(host_id)));
        p->addr = pb_text(str_to_c(a, str_of(addr)));
        p->is_away = is_away;
        message->proxies[message->n_proxies++] = p;
}

/* Adds the configured proxy while the cluster has sent no list, or an empty one. */
static void add_what_is_known(const struct proxy_list_host *host, struct arena *a, Cteleport__Internal__V1__Proxies *message)
{
        message->is_guess = true;
        if (is_given(host->local_proxy))
                add(a, message, host->host_id, host->local_proxy, false);
        else if (is_given(host->proxy_server))
                add(a, message, "", host->proxy_server, false); /* any proxy that answers there */
}

struct proxy_list *proxy_list_new(struct proxy_list_host host)
{
        struct proxy_list *l = NEW(struct proxy_list);

        l->host = host;
        l->arena = begin(&l->message);
        add_what_is_known(&host, l->arena, &l->message);
        return l;
}

void proxy_list_free(struct proxy_list *l)
{
        if (l == NULL)
                return;
        arena_free(l->arena);
        free(l);
}

/* A proxy sends its own address, which is as untrusted as the data of a joining host. */
static bool is_address(const char *addr)
{
        struct str host;
        int port;
        AUTO_PTR(error) err = address_split(str_of(addr), 443, &host, &port);

        return err == NULL && strlen(addr) <= LIMIT_NAME && port > 0;
}

static const char *address_of(const struct proxy_list *l, const Cteleport__V1__PresenceDown__Proxy *p)
{
        if (is_given(l->host.local_proxy) && is_given(l->host.host_id) && strcmp(p->host_id, l->host.host_id) == 0)
                return l->host.local_proxy;
        if (is_given(p->addr) && is_address(p->addr))
                return p->addr;
        return l->host.proxy_server;
}

static bool is_equal(const Cteleport__Internal__V1__Proxies *a, const Cteleport__Internal__V1__Proxies *b)
{
        if (a->is_guess != b->is_guess || a->n_proxies != b->n_proxies || a->connection_count != b->connection_count)
                return false;
        for (size_t i = 0; i < a->n_proxies; i++)
                if (strcmp(a->proxies[i]->host_id, b->proxies[i]->host_id) != 0 ||
                    strcmp(a->proxies[i]->addr, b->proxies[i]->addr) != 0 || a->proxies[i]->is_away != b->proxies[i]->is_away)
                        return false;
        return true;
}

bool proxy_list_set(struct proxy_list *l, const Cteleport__V1__PresenceDown__Proxies *sent)
{
        Cteleport__Internal__V1__Proxies message;
        struct arena *a = begin(&message);

        for (size_t i = 0; i < sent->n_proxies; i++) {
                const char *addr = address_of(l, sent->proxies[i]);

                if (name_is_host_id(str_of(sent->proxies[i]->host_id)) && is_given(addr))
                        add(a, &message, sent->proxies[i]->host_id, addr, sent->proxies[i]->is_away);
        }
        message.connection_count = sent->connection_count;
        if (message.n_proxies == 0)
                add_what_is_known(&l->host, a, &message);
        if (is_equal(&message, &l->message)) {
                arena_free(a);
                return false;
        }
        arena_free(l->arena);
        l->arena = a;
        l->message = message;
        return true;
}

const Cteleport__Internal__V1__Proxies *proxy_list_message(const struct proxy_list *l)
{
        return &l->message;
}
