/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/hosts/app_index.h"

#include <stdlib.h>

#include "auth/hosts/tunnels_service.h"
#include "base/log.h"
#include "base/mem.h"
#include "pki/key.h"
#include "resource/app.h"
#include "rpc/pb.h"

/* An application of a host. */
struct app_offer {
        struct app_offer *next, **at;   /* of the same name */
        struct app_offer *next_of_host; /* of the same host */
        char *host_id, *name, *uri;
        char *addr; /* public_addr of teleport.yaml, "" none; that of a resource is in the catalog */
};

struct app_list {
        struct app_offer *first;
};

/* ---- changes ---------------------------------------------------------------------------------------------- */

static void offer_free(struct app_offer *o)
{
        free(o->host_id);
        free(o->name);
        free(o->uri);
        free(o->addr);
        free(o);
}

static void forget_offer(struct app_index *x, struct app_offer *o)
{
        struct app_list *list = map_get(&x->by_name, str_of(o->name));

        *o->at = o->next;
        if (o->next != NULL)
                o->next->at = o->at;
        if (list != NULL && list->first == NULL)
                free(map_remove(&x->by_name, str_of(o->name)));
        offer_free(o);
}

static void forget_host(struct app_index *x, struct str host_id)
{
        struct app_offer *o = map_remove(&x->by_host, host_id), *next;

        for (; o != NULL; o = next) {
                next = o->next_of_host;
                forget_offer(x, o);
        }
}

/* The hosts before it have been compared with each other when they were added. */
static void report_conflict(const struct app_offer *o)
{
        const struct app_offer *other = o->next;

        if (other != NULL && strcmp(other->uri, o->uri) != 0)
                log_warn("Two hosts offer an application of one name with different URIs: connections go to either of them", LOG_C("app", o->name),
                         LOG_C("host_id", o->host_id), LOG_C("uri", o->uri), LOG_C("other_host_id", other->host_id), LOG_C("other_uri", other->uri),
                         LOG_C("hint", "if they are not the same application, give one of them another name"));
}

static const char *address_of(const Cteleport__V1__App *app)
{
        return app_is_of_file(app) ? app->spec->public_addr : "";
}

static void add_offer(struct app_index *x, struct str host_id, const Cteleport__V1__App *app)
{
        struct str name = str_of(app->metadata->name);
        struct app_list *list = map_get(&x->by_name, name);
        struct app_offer *o = NEW(struct app_offer);

        if (list == NULL) {
                list = NEW(struct app_list);
                map_put(&x->by_name, name, list);
        }
        *o = (struct app_offer){ .next = list->first, .at = &list->first, .next_of_host = map_get(&x->by_host, host_id),
                                 .host_id = str_dup(host_id), .name = str_dup(name), .uri = str_dup(str_of(app->spec->uri)), .addr = str_dup(str_of(address_of(app))) };
        if (o->next != NULL)
                o->next->at = &o->next;
        list->first = o;
        map_put(&x->by_host, host_id, o);
        report_conflict(o);
}

/* Whether the host has offered exactly these: most announcements change nothing. */
static bool is_unchanged(const struct app_index *x, struct str host_id, Cteleport__V1__App *const *apps, size_t count)
{
        const struct app_offer *o = map_get(&x->by_host, host_id);

        for (size_t i = count; i > 0; i--, o = o->next_of_host) /* the last one was added first */
                if (o == NULL || strcmp(o->name, apps[i - 1]->metadata->name) != 0 || strcmp(o->uri, apps[i - 1]->spec->uri) != 0 ||
                    strcmp(o->addr, address_of(apps[i - 1])) != 0)
                        return false;
        return o == NULL;
}

static const struct app_offer *offers_of(const struct app_index *x, const struct app_offer *o)
{
        const struct app_list *list = map_get(&x->by_name, str_of(o->name));

        return list == NULL ? NULL : list->first;
}

/* Whether an application of the host has an address, by this host or another. */
static bool has_address(const struct app_index *x, struct str host_id)
{
        for (const struct app_offer *o = map_get(&x->by_host, host_id); o != NULL; o = o->next_of_host)
                for (const struct app_offer *other = offers_of(x, o); other != NULL; other = other->next)
                        if (other->addr[0] != '\0')
                                return true;
        return false;
}

/* Logins to an application go to its address: one host must not choose that for the applications of others. */
static bool is_agreed(const struct app_index *x, const struct app_offer *o)
{
        for (const struct app_offer *other = offers_of(x, o); other != NULL; other = other->next)
                if (strcmp(other->addr, o->addr) != 0)
                        return false;
        return true;
}

/* Whether no other host offers one of its applications: the names that hosts offer change with it. */
static bool has_own_name(const struct app_index *x, struct str host_id)
{
        for (const struct app_offer *o = map_get(&x->by_host, host_id); o != NULL; o = o->next_of_host) {
                const struct app_offer *first = offers_of(x, o);

                if (first == o && o->next == NULL)
                        return true;
        }
        return false;
}

bool app_index_note(struct app_index *x, struct str host_id, Cteleport__V1__App *const *apps, size_t count)
{
        if (is_unchanged(x, host_id, apps, count))
                return false;
        bool is_changed = has_address(x, host_id) || has_own_name(x, host_id);
        forget_host(x, host_id);
        for (size_t i = 0; i < count; i++)
                add_offer(x, host_id, apps[i]);
        return is_changed || has_address(x, host_id) || has_own_name(x, host_id);
}

struct each_name {
        void (*each)(void *ctx, struct str app);
        void *ctx;
};

static void pass_name(void *ctx, struct str name, void *value)
{
        const struct each_name *e = ctx;

        (void)value;
        e->each(e->ctx, name);
}

void app_index_each_name(const struct app_index *x, void (*each)(void *ctx, struct str app), void *ctx)
{
        struct map by_name = x->by_name;

        map_each(&by_name, pass_name, &(struct each_name){ each, ctx });
}

struct each_address {
        const struct app_index *index;
        void (*each)(void *ctx, struct str app, struct str addr);
        void *ctx;
};

static void pass_addresses(void *ctx, struct str host_id, void *value)
{
        const struct each_address *e = ctx;

        (void)host_id;
        for (const struct app_offer *o = value; o != NULL; o = o->next_of_host)
                if (o->addr[0] != '\0' && is_agreed(e->index, o))
                        e->each(e->ctx, str_of(o->name), str_of(o->addr));
}

void app_index_each_address(const struct app_index *x, void (*each)(void *ctx, struct str app, struct str addr), void *ctx)
{
        struct map by_host = x->by_host; /* which nobody changes */

        map_each(&by_host, pass_addresses, &(struct each_address){ x, each, ctx });
}

struct conflicts {
        struct arena *arena;
        char **list;
        size_t count, room;
};

static void add_conflict(void *ctx, struct str name, void *value)
{
        struct conflicts *c = ctx;
        const struct app_offer *first = ((const struct app_list *)value)->first, *o = first->next;

        while (o != NULL && strcmp(o->uri, first->uri) == 0)
                o = o->next;
        if (o != NULL && c->count < c->room)
                c->list[c->count++] = pb_text(arena_printf(c->arena, "hosts offer the application '%.*s' with different URIs, and users get to any of them: tctl apps ls", STR_ARG(name)));
        for (o = first->next; o != NULL && strcmp(o->addr, first->addr) == 0;)
                o = o->next;
        if (o != NULL && c->count < c->room)
                c->list[c->count++] = pb_text(arena_printf(c->arena, "hosts offer the application '%.*s' with different public_addr, of which none is served: tctl apps ls", STR_ARG(name)));
}

size_t app_index_conflicts(const struct app_index *x, struct arena *arena, char **ret, size_t room)
{
        struct conflicts c = { .arena = arena, .list = ret, .room = room };
        struct map by_name = x->by_name;

        map_each(&by_name, add_conflict, &c);
        return c.count;
}

/* ---- search ----------------------------------------------------------------------------------------------- */

/* Chooses hosts at random from all that are shown to it: each is chosen with the same probability. */
struct sample {
        struct str ids[LIMIT_DIAL_CANDIDATES];
        size_t count, seen;
        uint64_t random;
};

/* Spreads connections, and need not resist a guess: xorshift64. */
static size_t below(struct sample *s, size_t limit)
{
        s->random ^= s->random << 13;
        s->random ^= s->random >> 7;
        s->random ^= s->random << 17;
        return (size_t)(s->random % limit);
}

/* The chosen ones are in random order, too: the new one changes places with one of them. */
static void sample_add(struct sample *s, struct str id)
{
        size_t at = below(s, ++s->seen);

        if (s->count < LIMIT_DIAL_CANDIDATES)
                s->count++;
        if (at >= s->count)
                return;
        if (s->seen <= LIMIT_DIAL_CANDIDATES)
                s->ids[s->count - 1] = s->ids[at];
        s->ids[at] = id;
}

size_t app_index_find(const struct app_index *x, const struct auth *a, struct str name, struct str ret_ids[LIMIT_DIAL_CANDIDATES])
{
        const struct app_list *list = map_get(&x->by_name, name);
        struct sample live = { 0 }, rest = { 0 };
        size_t count = 0;

        random_bytes(&live.random, sizeof live.random);
        live.random |= 1; /* a state of 0 would stay 0 */
        rest.random = live.random;
        for (const struct app_offer *o = list == NULL ? NULL : list->first; o != NULL; o = o->next)
                sample_add(tunnels_reach(a, str_of(o->host_id), STR("App")) ? &live : &rest, str_of(o->host_id));
        for (size_t i = 0; i < live.count; i++)
                ret_ids[count++] = live.ids[i];
        for (size_t i = 0; i < rest.count && count < LIMIT_DIAL_CANDIDATES; i++)
                ret_ids[count++] = rest.ids[i];
        return count;
}

/* ---- the end ---------------------------------------------------------------------------------------------- */

static void free_list(void *ctx, struct str key, void *value)
{
        (void)ctx;
        (void)key;
        free(value);
}

static void free_offers(void *ctx, struct str key, void *value)
{
        struct app_offer *o = value, *next;

        (void)ctx;
        (void)key;
        for (; o != NULL; o = next) {
                next = o->next_of_host;
                offer_free(o);
        }
}

void app_index_release(struct app_index *x)
{
        map_each(&x->by_host, free_offers, NULL);
        map_each(&x->by_name, free_list, NULL);
        map_release(&x->by_host);
        map_release(&x->by_name);
        *x = (struct app_index){ 0 };
}
