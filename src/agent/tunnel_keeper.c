/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps a reverse tunnel to each proxy of the cluster, so that each proxy can reach this host for its users; or, where
 * proxies relay to each other, to the number of proxies that the cluster requests. Each host has its own order of the
 * proxies, so that many hosts spread over them; a proxy that fails comes last.
 *
 * Several proxies may share one address, and chance decides which of them answers. A connection to a proxy that has
 * a tunnel already is closed, and the entry dials again; a connection to another proxy on the list becomes the
 * tunnel of that proxy's entry. A load balancer that always selects the same proxy for a client makes this search fail:
 * after LIMIT_PROXY_SEARCH connections for each proxy this is logged once, and the search goes on at a slower pace.
 */
#include <stdlib.h>

#include "agent/agent_internal.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "cluster/connect.h"
#include "net/tls.h"
#include "pki/cert.h"

/* Tunnels that are lost at a similar age below SHORT_LIFE are cut by something with a timeout, once this number of them was. */
enum { SHORT_LOSSES = 3, SHORT_LIFE = 2 * TIMEOUT_UPGRADE_KEEPALIVE };

struct proxy_entry;

/* An open tunnel. While its proxy drains it, it has no entry any more, and it closes when its streams have ended. */
struct open_tunnel {
        struct tunnel_keeper *all;
        struct proxy_entry *proxy_entry;
        struct tunnel_server *server;
        char *proxy_id;
        char *host_id; /* ID of this host when the tunnel was opened */
        struct instant opened;
        struct open_tunnel *next, **at; /* of all->open */
};

/* The state for one proxy on the list. */
struct proxy_entry {
        struct tunnel_keeper *all;
        struct proxy_entry *next, **at;
        char *proxy_id; /* "": any proxy that answers */
        char *addr;
        bool is_listed, is_removed; /* removed: freed when its connect is cancelled */
        bool is_away;    /* by the list: the proxy is not connected to the cluster */
        uint64_t failed; /* number of its last failure since it worked, of all entries' failures; 0: none. Proxies that failed last are dialled last */
        struct open_tunnel *open;
        bool is_renewing; /* the identity is new: a new tunnel is to replace the open one */
        struct timer *retry;
        struct backoff backoff;
        struct connect *connect;
        struct connect_way way;
        struct connect_trust trust;
        struct held_identity *identity; /* used by the pending connect */
        char *reported;                     /* the failure last reported: repetitions are not logged */
        size_t duplicate_dials; /* connections for it that have led to proxies with a tunnel, since one was found at this address */
        bool is_search_reported;
        int64_t lost_at_ms;   /* age of its tunnel at the last loss */
        unsigned short_losses; /* number of losses in succession at about that age */
        bool is_cut_reported;
};

struct tunnel_keeper {
        struct agent *agent; /* NULL: freed, and waits for cancelled connects */
        struct loop *loop;
        struct proxy_entry *entries;
        struct open_tunnel *open;
        size_t wanted; /* number of tunnels; 0: one to each proxy */
        uint64_t failures; /* of all entries so far */
        bool is_draining;
        bool is_connected; /* all tunnels were open once */
};

static void dial(void *ctx);
static bool wants_tunnel(const struct proxy_entry *p);

/* ---- lists ------------------------------------------------------------------------------------------------- */

static void free_when_empty(struct tunnel_keeper *t)
{
        if (t->agent == NULL && t->entries == NULL)
                free(t);
}

static void entry_free(struct proxy_entry *p)
{
        *p->at = p->next;
        if (p->next != NULL)
                p->next->at = p->at;
        timer_free(p->retry);
        free(p->proxy_id);
        free(p->addr);
        free(p->reported);
        free_when_empty(p->all);
        free(p);
}

static void entry_remove(struct proxy_entry *p)
{
        p->is_removed = true;
        timer_stop(p->retry);
        if (p->connect != NULL)
                connect_cancel(p->connect); /* on_connected frees the entry */
        else
                entry_free(p);
}

static struct proxy_entry *entry_new(struct tunnel_keeper *t, const char *proxy_id, const char *addr)
{
        struct proxy_entry *p = NEW(struct proxy_entry);

        *p = (struct proxy_entry){
                .all = t,
                .next = t->entries,
                .at = &t->entries,
                .proxy_id = str_dup(str_of(proxy_id)),
                .addr = str_dup(str_of(addr)),
                .backoff = { .first = MILLISECONDS(PACE_RETRY_FIRST), .most = MILLISECONDS(PACE_RETRY_MAX) },
        };
        if (p->next != NULL)
                p->next->at = &p->next;
        t->entries = p;
        p->retry = timer_new(t->loop, dial, p);
        return p;
}

static struct proxy_entry *entry_of(struct tunnel_keeper *t, struct str proxy_id)
{
        for (struct proxy_entry *p = t->entries; p != NULL; p = p->next)
                if (!p->is_removed && str_equal(str_of(p->proxy_id), proxy_id))
                        return p;
        return NULL;
}

static void open_tunnel_free(struct open_tunnel *o)
{
        *o->at = o->next;
        if (o->next != NULL)
                o->next->at = o->at;
        tunnel_server_close(o->server);
        free(o->proxy_id);
        free(o->host_id);
        free(o);
}

size_t tunnel_keeper_count(const struct tunnel_keeper *t)
{
        size_t count = 0;

        for (const struct open_tunnel *o = t->open; o != NULL; o = o->next)
                count += o->proxy_entry != NULL;
        return count;
}

/* Whether at least one tunnel is open, and no other one is missing. */
static bool is_complete(const struct tunnel_keeper *t)
{
        if (t->is_draining || tunnel_keeper_count(t) == 0)
                return false;
        for (const struct proxy_entry *p = t->entries; p != NULL; p = p->next)
                if (p->open == NULL && wants_tunnel(p))
                        return false;
        return true;
}

static void report_count(struct tunnel_keeper *t)
{
        metric_set_at(METRIC_AGENT_TUNNELS, 0, (int64_t)tunnel_keeper_count(t));
        if (t->agent == NULL)
                return;
        instance_link_report_tunnels(t->agent->instance);
        if (t->is_connected || !is_complete(t))
                return;
        t->is_connected = true;
        if (t->agent->options.events->on_connected != NULL)
                t->agent->options.events->on_connected(t->agent->options.ctx);
}

/* ---- which proxies ------------------------------------------------------------------------------------------- */

/* Position of a proxy in this host's order (rendezvous hashing, with FNV-1a). */
static uint64_t rank_of(const struct proxy_entry *p)
{
        const struct held_identity *identity = p->all->agent->identity;
        struct str parts[] = { identity == NULL ? STR("") : identity->id.host_id, str_of(p->proxy_id) };
        uint64_t hash = 0xcbf29ce484222325u;

        for (size_t i = 0; i < ARRAY_LEN(parts); i++)
                for (size_t n = 0; n < parts[i].len; n++)
                        hash = (hash ^ (uint8_t)parts[i].ptr[n]) * 0x100000001b3u;
        return hash;
}

static bool is_before(const struct proxy_entry *a, const struct proxy_entry *b)
{
        if (a->is_away != b->is_away)
                return b->is_away;
        return a->failed != b->failed ? a->failed < b->failed : rank_of(a) < rank_of(b);
}

/* Whether one more proxy may get a tunnel. */
static bool has_room(const struct tunnel_keeper *t)
{
        return t->wanted == 0 || tunnel_keeper_count(t) < t->wanted;
}

/* Whether an entry without a tunnel is among the next that should have one. */
static bool is_chosen(const struct proxy_entry *p)
{
        const struct tunnel_keeper *t = p->all;
        size_t before = 0;

        if (t->wanted == 0)
                return true;
        for (const struct proxy_entry *other = t->entries; other != NULL; other = other->next)
                before += other != p && !other->is_removed && other->open == NULL && is_before(other, p);
        return before + tunnel_keeper_count(t) < t->wanted;
}

/* Whether the entry needs a new tunnel. */
static bool wants_tunnel(const struct proxy_entry *p)
{
        if (p->all->is_draining || p->is_removed)
                return false;
        return p->open != NULL ? p->is_renewing : is_chosen(p);
}

/*
 * Dials for the entries that have become the next, because a tunnel was lost or another entry has failed. Entries that take
 * turns in failing keep their pauses.
 */
static void dial_next(struct tunnel_keeper *t)
{
        for (struct proxy_entry *p = t->entries; p != NULL; p = p->next)
                if (p->connect == NULL && !timer_is_running(p->retry) && wants_tunnel(p))
                        timer_start(p->retry, t->wanted > 0 && p->failed > 0 ? backoff_next(&p->backoff) : MILLISECONDS(1));
}

/* ---- an open tunnel -------------------------------------------------------------------------------------------- */

static void try_again(struct proxy_entry *p)
{
        if (wants_tunnel(p))
                timer_start(p->retry, backoff_next(&p->backoff));
}

/* Separates the tunnel from its entry. The entry dials again, or is removed if the cluster has no such proxy any more. */
static void detach_entry(struct open_tunnel *o)
{
        struct proxy_entry *p = o->proxy_entry;

        o->proxy_entry = NULL;
        if (p == NULL)
                return;
        p->open = NULL;
        p->is_renewing = false;
        p->failed = ++p->all->failures;
        if (p->is_listed)
                try_again(p);
        else
                entry_remove(p);
        dial_next(o->all);
        report_count(o->all);
}

/* Refuses requests for another service of this host, which has tunnels of its own. */
static struct error *check_request(const struct service_row *row, const struct tunnel_request *request)
{
        if (!str_equal(request->service, str_of(row->name)))
                return error_new(ERROR_NOT_FOUND, "the request is for another service than the %s of this host", row->title);
        if (!str_equal(request->kind, str_of(row->kind)))
                return error_new(ERROR_UNIMPLEMENTED, "the %s of this host offers resources of the kind '%s' only", row->title, row->kind);
        return NULL;
}

static void on_connect(void *ctx, struct tunnel_incoming *v, const struct tunnel_request *request)
{
        struct open_tunnel *o = ctx;

        const struct agent_options *options = &o->all->agent->options;
        struct error *err = check_request(o->all->agent->row, request);

        if (err != NULL)
                tunnel_refuse(v, err);
        else
                options->events->on_request(options->ctx, v, request);
}

static void on_gone(void *ctx, struct tunnel_incoming *v)
{
        struct open_tunnel *o = ctx;

        const struct agent_options *options = &o->all->agent->options;

        options->events->on_gone(options->ctx, v);
}

static int64_t age_of(const struct open_tunnel *o)
{
        return duration_ms(instant_since(loop_now(o->all->loop), o->opened));
}

/* A tunnel that has lasted ends the suspicion that something cuts them. */
static void forget_losses(struct proxy_entry *p)
{
        p->short_losses = 0;
        p->is_cut_reported = false;
        backoff_reset(&p->backoff);
}

/*
 * A tunnel was lost. Several that end at the same early age are cut by something in between, or by a proxy that always fails: this is
 * logged once, and the pauses before further dials grow as if those had failed.
 */
static void note_loss(const struct open_tunnel *o)
{
        struct proxy_entry *p = o->proxy_entry;
        int64_t age = age_of(o), apart = age > p->lost_at_ms ? age - p->lost_at_ms : p->lost_at_ms - age;
        bool is_similar = p->short_losses > 0 && apart <= 1000 + age / 4;

        p->lost_at_ms = age;
        if (age >= SHORT_LIFE) {
                forget_losses(p);
                return;
        }
        p->short_losses = is_similar ? p->short_losses + 1 : 1;
        if (p->short_losses < SHORT_LOSSES || p->is_cut_reported)
                return;
        p->is_cut_reported = true;
        AUTO_PTR(error) err = error_hint(error_new(ERROR_UNAVAILABLE, "each of the last %u was lost after about %lld.%lld seconds", p->short_losses,
                                                   (long long)(age / 1000), (long long)(age % 1000 / 100)),
                                         "something in front of the proxy may close connections after that time: set its idle timeout above %d seconds "
                                         "(nginx: proxy_read_timeout, HAProxy: timeout tunnel); otherwise see the log of the proxy",
                                         TIMEOUT_UPGRADE_KEEPALIVE / 1000);
        log_warn("Reverse tunnels to a proxy end early", LOG_C("proxy", o->proxy_id), LOG_C("addr", p->addr), LOG_ERR(err));
}

static void on_end(void *ctx, struct error *err)
{
        struct open_tunnel *o = ctx;

        if (o->proxy_entry != NULL && !o->all->is_draining)
                log_info("A reverse tunnel is lost, it is opened again", LOG_C("proxy", o->proxy_id),
                         LOG_C("addr", o->proxy_entry->addr), LOG_ERR(err));
        error_free(err);
        if (o->proxy_entry != NULL)
                note_loss(o);
        detach_entry(o);
        open_tunnel_free(o);
}

static void on_drain(void *ctx)
{
        struct open_tunnel *o = ctx;

        if (o->proxy_entry != NULL)
                log_info("A proxy drains its tunnel: open connections continue, and a new tunnel is opened", LOG_C("proxy", o->proxy_id));
        if (o->proxy_entry != NULL && age_of(o) >= SHORT_LIFE)
                forget_losses(o->proxy_entry);
        detach_entry(o);
}

static const struct tunnel_server_events tunnel_events = {
        .on_connect = on_connect, .on_gone = on_gone, .on_end = on_end, .on_drain = on_drain,
};

/* This proxy is found. */
static void end_search(struct proxy_entry *p)
{
        p->duplicate_dials = 0;
        p->is_search_reported = false;
        p->backoff.most = MILLISECONDS(PACE_RETRY_MAX);
}

/* The search for this proxy begins anew, at its first pace. */
static void begin_search(struct proxy_entry *p)
{
        end_search(p);
        backoff_reset(&p->backoff);
}

/* One of several proxies behind an address was found: the search for the others goes on. */
static void search_others(struct tunnel_keeper *t, const char *addr)
{
        for (struct proxy_entry *p = t->entries; p != NULL; p = p->next)
                if (p->open == NULL && strcmp(p->addr, addr) == 0)
                        begin_search(p);
}

/* A connection has led to a proxy that has a tunnel already. */
static void note_duplicate_dial(struct proxy_entry *p)
{
        size_t proxies = 0, missing = 0, duplicates = 0;
        bool is_reported = false;

        p->duplicate_dials++;
        for (const struct proxy_entry *other = p->all->entries; other != NULL; other = other->next) {
                if (other->is_removed || other->is_away || strcmp(other->addr, p->addr) != 0)
                        continue;
                proxies++;
                missing += other->open == NULL;
                duplicates += other->duplicate_dials;
                is_reported = is_reported || other->is_search_reported;
        }
        if (p->is_away ? p->duplicate_dials < LIMIT_PROXY_SEARCH : duplicates < proxies * LIMIT_PROXY_SEARCH)
                return;
        p->backoff.most = MILLISECONDS(PACE_PROXY_SEARCH_MAX);
        if (p->is_away || is_reported || missing == 0 || p->all->wanted > 0) /* proxies that relay to each other need not all be reached */
                return;
        p->is_search_reported = true;
        AUTO_PTR(error) err = error_hint(error_new(ERROR_UNAVAILABLE, "%zu connections have led to proxies that this host has tunnels to", duplicates),
                                         "let the load balancer distribute the connections of one client (round robin, no affinity), or set "
                                         "tunnel_strategy: {type: proxy_peering} in auth_service");
        log_warn("Not all proxies behind an address are reached: users cannot reach this host through the others", LOG_C("addr", p->addr),
                 LOG_INT("proxies", proxies), LOG_INT("missing", missing), LOG_ERR(err));
}

static void settle(struct proxy_entry *p, struct stream *tls, struct str proxy_id)
{
        struct tunnel_keeper *t = p->all;
        struct open_tunnel *o = NEW(struct open_tunnel);

        timer_stop(p->retry);
        end_search(p);
        if (p->short_losses < SHORT_LOSSES)
                backoff_reset(&p->backoff);
        free(p->reported);
        p->reported = NULL;
        bool is_renewal = p->open != NULL;
        p->is_renewing = false;
        p->failed = 0;
        if (p->open != NULL)
                p->open->proxy_entry = NULL; /* the proxy drains the old tunnel, whose streams continue */
        *o = (struct open_tunnel){ .all = t, .proxy_entry = p, .proxy_id = str_dup(proxy_id), .next = t->open, .at = &t->open,
                                   .opened = loop_now(t->loop), .host_id = str_dup(t->agent->identity->id.host_id) };
        if (o->next != NULL)
                o->next->at = &o->next;
        t->open = p->open = o;
        if (!is_renewal)
                search_others(t, p->addr);
        log_info(is_renewal ? "Reverse tunnel renewed" : "Reverse tunnel established", LOG_C("proxy", o->proxy_id), LOG_C("addr", p->addr));
        o->server = tunnel_server_new(t->loop, tls, &tunnel_events, o);
        report_count(t);
        loop_trim_later(t->loop);
}

/* ---- dialling --------------------------------------------------------------------------------------------------- */

/* The host ID of the server: connect has verified that the server is a proxy of the cluster. */
static struct error *read_proxy_id(const struct stream *tls, struct arena *a, struct str *ret)
{
        struct cert_info info;

        TRY(cert_read(a, tls_peer_cert_der(tls), &info));
        *ret = info.host_id;
        return NULL;
}

/* The entry for a tunnel to this proxy; NULL: the proxy has a tunnel already, is not on the list, or there are enough. */
static struct proxy_entry *entry_for(struct proxy_entry *dialled, struct str proxy_id)
{
        struct proxy_entry *its = entry_of(dialled->all, proxy_id);

        for (const struct open_tunnel *o = dialled->all->open; o != NULL; o = o->next)
                if (o->proxy_entry != NULL && str_equal(str_of(o->proxy_id), proxy_id))
                        return o->proxy_entry->is_renewing ? o->proxy_entry : NULL;
        if (!has_room(dialled->all))
                return NULL;
        if (its != NULL)
                return its;
        return dialled->proxy_id[0] == '\0' ? dialled : NULL;
}

static void report_failure(struct proxy_entry *p, const struct error *err)
{
        if (p->reported != NULL && strcmp(p->reported, err->what) == 0)
                return;
        free(p->reported);
        p->reported = str_dup(str_of(err->what));
        log_warn("No reverse tunnel to a proxy: users cannot reach this host through it", LOG_C("proxy", p->proxy_id),
                 LOG_C("addr", p->addr), LOG_ERR(err));
}

/* err is owned. */
static void fail(struct proxy_entry *p, struct error *err)
{
        report_failure(p, err);
        error_free(err);
        p->failed = ++p->all->failures;
        try_again(p);
        dial_next(p->all);
}

static void take(struct proxy_entry *p, struct stream *tls)
{
        AUTO_PTR(arena) a = arena_new(2 * CERT_MAX);
        struct str proxy_id;
        struct error *err = read_proxy_id(tls, a, &proxy_id);
        struct proxy_entry *taker = err == NULL ? entry_for(p, proxy_id) : NULL;

        if (taker == NULL)
                stream_close(tls);
        else
                settle(taker, tls, proxy_id);
        if (taker == NULL && err == NULL)
                note_duplicate_dial(p);
        if (err != NULL)
                fail(p, err);
        else if (taker != p)
                try_again(p);
}

static void on_connected(void *ctx, struct stream *tls, struct error *err)
{
        struct proxy_entry *p = ctx;

        bool is_outdated = p->all->agent != NULL && p->identity != p->all->agent->identity;

        p->connect = NULL;
        identity_release(p->identity);
        p->identity = NULL;
        if (p->is_removed) {
                stream_close(tls);
                error_free(err);
                entry_free(p);
        } else if (!wants_tunnel(p)) { /* another entry's connection has led to this proxy meanwhile */
                stream_close(tls);
                error_free(err);
        } else if (is_outdated) { /* the identity has changed: the old one opens no tunnel, and its failures do not count */
                stream_close(tls);
                error_free(err);
                timer_start(p->retry, MILLISECONDS(1));
        } else if (err != NULL) {
                fail(p, err);
        } else {
                take(p, tls);
        }
}

static void dial(void *ctx)
{
        struct proxy_entry *p = ctx;
        struct held_identity *identity = p->all->agent->identity;

        if (identity == NULL || !wants_tunnel(p) || p->connect != NULL)
                return;
        struct error *err = connect_way_of_tunnel(str_of(p->addr), &p->way);
        if (err != NULL) {
                fail(p, err);
                return;
        }
        if (str_equal(str_of(p->proxy_id), identity->id.host_id)) /* on this machine no HTTP proxy is in between */
                p->way.via = (struct http_proxy){ .userinfo = STR("") };
        p->identity = identity_hold(identity);
        p->trust = (struct connect_trust){ .stored = &p->identity->id, .roots_pem = p->all->agent->options.roots_pem,
                                           .is_insecure = p->all->agent->options.is_insecure };
        p->connect = connect_start(p->all->loop, &p->way, &p->trust, on_connected, p);
}

/* ---- the list ----------------------------------------------------------------------------------------------------- */

/* Gives the entry without a proxy ID the ID of the proxy to which its tunnel leads. */
static struct proxy_entry *name_entry(struct tunnel_keeper *t, const char *proxy_id)
{
        struct proxy_entry *p = entry_of(t, STR(""));

        if (p == NULL || p->open == NULL || strcmp(p->open->proxy_id, proxy_id) != 0)
                return NULL;
        free(p->proxy_id);
        p->proxy_id = str_dup(str_of(proxy_id));
        return p;
}

static void list(struct tunnel_keeper *t, const Cteleport__Internal__V1__ProxyAddress *proxy)
{
        struct proxy_entry *p = entry_of(t, str_of(proxy->host_id));

        if (p == NULL)
                p = name_entry(t, proxy->host_id);
        if (p == NULL)
                p = entry_new(t, proxy->host_id, proxy->addr);
        p->is_listed = true;
        if (strcmp(p->addr, proxy->addr) != 0) {
                free(p->addr);
                p->addr = str_dup(str_of(proxy->addr));
                begin_search(p);
        }
        if (p->is_away && !proxy->is_away) { /* it has come back */
                p->failed = 0;
                begin_search(p);
        }
        p->is_away = proxy->is_away;
}

static void report_unlisted(const char *proxy_id)
{
        log_info("A proxy does not belong to the cluster any more, its tunnel is closed when it is unused", LOG_C("proxy", proxy_id));
}

/* Ends the tunnels to proxies that the cluster does not have any more; open streams continue. */
static void drain_unlisted(struct tunnel_keeper *t)
{
        for (struct open_tunnel *o = t->open; o != NULL; o = o->next) {
                if (o->proxy_entry == NULL || o->proxy_entry->is_listed)
                        continue;
                report_unlisted(o->proxy_id);
                detach_entry(o);
                tunnel_server_drain(o->server);
        }
}

void tunnel_keeper_set(struct tunnel_keeper *t, const Cteleport__Internal__V1__Proxies *proxies)
{
        t->wanted = proxies->connection_count;
        for (struct proxy_entry *p = t->entries; p != NULL; p = p->next)
                p->is_listed = false;
        for (size_t i = 0; i < proxies->n_proxies; i++)
                list(t, proxies->proxies[i]);
        for (struct proxy_entry *p = t->entries, *next; p != NULL; p = next) {
                next = p->next;
                if (p->is_listed || p->is_removed || p->open != NULL)
                        continue;
                if (!proxies->is_guess && p->proxy_id[0] != '\0') /* without an ID it was a guess itself */
                        report_unlisted(p->proxy_id);
                entry_remove(p);
        }
        if (!proxies->is_guess)
                drain_unlisted(t);
        for (struct proxy_entry *p = t->entries; p != NULL; p = p->next)
                if (p->open == NULL && wants_tunnel(p))
                        timer_start(p->retry, t->wanted > 0 && p->failed > 0 ? backoff_next(&p->backoff) : MILLISECONDS(1));
}

/* Closes the tunnels that were opened with a former ID of this host: no client can use them. */
static void close_foreign(struct tunnel_keeper *t, struct str host_id)
{
        for (struct open_tunnel *o = t->open, *next; o != NULL; o = next) {
                next = o->next;
                if (str_equal(str_of(o->host_id), host_id))
                        continue;
                detach_entry(o);
                open_tunnel_free(o);
        }
}

void tunnel_keeper_renew(struct tunnel_keeper *t)
{
        close_foreign(t, t->agent->identity->id.host_id);
        for (struct proxy_entry *p = t->entries; p != NULL; p = p->next) {
                if (p->is_removed)
                        continue;
                p->is_renewing = p->open != NULL;
                backoff_reset(&p->backoff);
                if (wants_tunnel(p))
                        timer_start(p->retry, t->wanted > 0 && p->failed > 0 ? backoff_next(&p->backoff) : MILLISECONDS(1));
        }
}

struct tunnel_keeper *tunnel_keeper_new(struct agent *a)
{
        struct tunnel_keeper *t = NEW(struct tunnel_keeper);

        *t = (struct tunnel_keeper){ .agent = a, .loop = a->loop };
        return t;
}

void tunnel_keeper_drain(struct tunnel_keeper *t)
{
        t->is_draining = true;
        for (struct proxy_entry *p = t->entries; p != NULL; p = p->next)
                timer_stop(p->retry);
}

void tunnel_keeper_leave(struct tunnel_keeper *t)
{
        for (struct open_tunnel *o = t->open; o != NULL; o = o->next) {
                detach_entry(o);
                tunnel_server_drain(o->server);
        }
}

void tunnel_keeper_free(struct tunnel_keeper *t)
{
        if (t == NULL)
                return;
        while (t->open != NULL)
                open_tunnel_free(t->open);
        for (struct proxy_entry *p = t->entries, *next; p != NULL; p = next) {
                next = p->next;
                p->open = NULL;
                if (!p->is_removed)
                        entry_remove(p);
        }
        t->agent = NULL;
        free_when_empty(t);
}
