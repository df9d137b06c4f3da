/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/hosts/servers.h"

#include <stdlib.h>

#include "auth/hosts/hosts.h"
#include "auth/hosts/nodes.h"
#include "auth/sessions/sessions.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "pki/key.h"
#include "pki/key_proof.h"
#include "pki/public_key.h"
#include "rpc/pb.h"
#include "state/server.h"
#include "state/state_watch.h"

enum { RECORD_ARENA = 4 * LIMIT_STORE_VALUE, KEYS_KEPT = 8, DIGEST_SIZE = 32 };

struct server {
        struct arena *arena;
        const Cteleport__State__V1__Server *record;
};

struct servers {
        struct auth *auth;
        struct map by_id; /* host ID -> struct server, owned */
        struct state_watch *watch;
        struct arena *own; /* holds own_names */
        const struct str *own_names; /* in canonical form */
        size_t own_name_count;
        uint8_t own_key[DIGEST_SIZE];
        void (*ready)(void *ctx, struct error *err);
        void *ctx;
};

static void server_free(struct server *s)
{
        if (s == NULL)
                return;
        arena_free(s->arena);
        free(s);
}

/* ---- following the store ------------------------------------------------------------------------------------ */

static struct error *take(void *ctx, const struct state_record *stored)
{
        struct servers *s = ctx;
        struct server *server = NEW(struct server);
        Cteleport__State__V1__Server *record = NULL;

        server->arena = arena_new(RECORD_ARENA);
        struct error *err = server_read(server->arena, stored, &record);
        if (err != NULL) {
                server_free(server);
                return err;
        }
        server->record = record;
        server_free(map_put(&s->by_id, stored->id, server));
        return NULL;
}

static void on_change(void *ctx, const struct state_record *stored, bool is_deleted)
{
        struct servers *s = ctx;

        if (is_deleted)
                server_free(map_remove(&s->by_id, stored->id));
        else
                state_log_unreadable(stored, take(s, stored));
}

static void each_id(void *ctx, void (*fn)(void *fn_ctx, struct str id), void *fn_ctx)
{
        state_each_key(&((struct servers *)ctx)->by_id, fn, fn_ctx);
}

static const struct state_watch_events watch_events = { .changed = on_change, .found = take, .each_id = each_id };

static void on_all(void *ctx, struct error *err)
{
        struct servers *s = ctx;

        s->ready(s->ctx, err);
}

struct servers *servers_open(struct auth *a, void (*ready)(void *ctx, struct error *err), void *ctx)
{
        struct servers *s = NEW(struct servers);

        *s = (struct servers){ .auth = a, .ready = ready, .ctx = ctx };
        s->watch = state_copy_new(a->store, &server_kind, &a->is_stopping, &watch_events, on_all, s);
        return s;
}

void servers_stop(struct servers *s)
{
        if (s == NULL)
                return;
        state_watch_free(s->watch);
        s->watch = NULL;
}

static void free_one(void *ctx, struct str key, void *value)
{
        (void)ctx;
        (void)key;
        server_free(value);
}

void servers_close(struct servers *s)
{
        if (s == NULL)
                return;
        servers_stop(s);
        map_each(&s->by_id, free_one, NULL);
        map_release(&s->by_id);
        arena_free(s->own);
        free(s);
}

/* ---- keys ---------------------------------------------------------------------------------------------------- */

/* The digest of a key, which does not depend on the encoding. */
static void digest(const struct public_key *key, uint8_t ret[DIGEST_SIZE])
{
        AUTO(buf) wire = BUF_MAX(PUBLIC_KEY_MAX);

        public_key_put_ssh(key, &wire);
        sha256(buf_str(&wire), ret);
}

struct key_search {
        struct str digest;
        struct server_claim claim;
        bool is_taken; /* another server has this key */
};

static void find_key(void *ctx, struct str key, void *value)
{
        struct key_search *search = ctx;
        const Cteleport__State__V1__Server *record = ((struct server *)value)->record;
        bool is_own = search->claim.is_proxy && str_equal(key, search->claim.host_id); /* false for records of web keys */

        for (size_t i = 0; i < record->n_keys; i++)
                if (str_equal(pb_str(record->keys[i]), search->digest))
                        search->is_taken |= !is_own;
}

static struct error *check_digest(const struct servers *s, const uint8_t key[DIGEST_SIZE], struct server_claim claim)
{
        struct key_search search = { .digest = str_of_bytes(key, DIGEST_SIZE), .claim = claim };

        map_each((struct map *)(uintptr_t)&s->by_id, find_key, &search); /* the map is not changed */
        bool is_auths = s->own != NULL && memcmp(key, s->own_key, DIGEST_SIZE) == 0;
        if (!is_auths && !search.is_taken)
                return NULL;
        return error_hint(error_new(ERROR_PERMISSION_DENIED, "this is the public key of one of the cluster's own servers"),
                          "each server generates a key of its own");
}

struct error *servers_check_key(const struct auth *a, struct str der, struct server_claim claim)
{
        struct public_key key;
        uint8_t hash[DIGEST_SIZE];

        if (a->servers == NULL)
                return NULL;
        TRY(public_key_of_spki(der, &key));
        digest(&key, hash);
        return check_digest(a->servers, hash, claim);
}

struct error *servers_check_ssh_key(const struct auth *a, struct str wire)
{
        struct public_key key;
        uint8_t hash[DIGEST_SIZE];

        if (a->servers == NULL)
                return NULL;
        TRY(public_key_of_ssh(wire, &key));
        digest(&key, hash);
        return check_digest(a->servers, hash, (struct server_claim){ 0 });
}

/* ---- names --------------------------------------------------------------------------------------------------- */

struct name_search {
        struct str name;  /* in canonical form */
        struct str tls;   /* in lower case; "": not compared */
        struct server_claim claim;
        bool is_taken, is_own;    /* the name is a public name; it is one of the claimant */
        size_t parent, own_parent; /* length of the longest public name above it, of all and of the claimant; 0: none */
};

static bool is_below(struct str name, struct str parent)
{
        return name.len > parent.len + 1 && name.ptr[name.len - parent.len - 1] == '.' && str_ends_with(name, parent);
}

static void find_name(void *ctx, struct str key, void *value)
{
        struct name_search *search = ctx;
        const Cteleport__State__V1__Server *record = ((struct server *)value)->record;
        bool is_claimants = str_equal(str_of(record->host_id), search->claim.host_id);
        bool is_group = !str_is_empty(search->claim.proxy_binding) && str_equal(str_of(record->binding), search->claim.proxy_binding);

        (void)key;
        for (size_t i = 0; i < record->n_names; i++) {
                struct str public_name = str_of(record->names[i]);
                bool is_it = str_equal(search->name, public_name);
                bool is_applications = !name_is_ip(public_name) && !search->claim.is_proxy &&
                                       (is_below(search->name, public_name) || is_below(search->tls, public_name));

                search->is_taken |= is_it;
                search->is_own |= is_it && (is_claimants || is_group);
                if (is_applications && public_name.len > search->parent)
                        search->parent = public_name.len;
                if (is_applications && is_claimants && public_name.len > search->own_parent)
                        search->own_parent = public_name.len;
        }
}

static bool may_name(const struct auth *a, struct str name, bool is_tls, struct server_claim claim)
{
        const struct servers *s = a->servers;
        AUTO(buf) canonical = BUF_MAX(2 * LIMIT_NAME), lower = BUF_MAX(2 * LIMIT_NAME);
        struct name_search search = { .claim = claim };

        if (s == NULL)
                return true;
        name_put_canonical(&canonical, name, a->cluster);
        for (size_t i = 0; is_tls && i < name.len; i++)
                buf_put_char(&lower, char_lower(name.ptr[i]));
        search.name = buf_str(&canonical);
        search.tls = buf_str(&lower);
        map_each((struct map *)(uintptr_t)&s->by_id, find_name, &search); /* the map is not changed */
        for (size_t i = 0; i < s->own_name_count; i++)
                if (str_equal(s->own_names[i], search.name) && !str_equal(claim.host_id, str_of(a->service->boot->host_id)))
                        return false;
        /* Below public names, the longest one decides: its owner may have the name. */
        return search.is_taken ? search.is_own : search.own_parent == search.parent;
}

struct error *servers_check_name(const struct auth *a, struct str name, struct server_claim claim)
{
        if (may_name(a, name, false, claim))
                return NULL;
        AUTO_MEM char *shown = escaped(name);
        return error_hint(error_new(ERROR_PERMISSION_DENIED, "the name '%s' is a public name of the cluster", shown),
                          claim.is_proxy ? "set another public_addr; several proxies share one when they join by the same AWS role or the same secret token"
                                         : "set teleport.nodename in teleport.yaml to another name");
}

bool servers_may_name_tls(const struct auth *a, struct str name, struct server_claim claim)
{
        return may_name(a, name, true, claim);
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

void servers_set_own(struct servers *s, const struct str *names, size_t count, struct str key_der)
{
        struct public_key key;

        if (s == NULL)
                return;
        arena_free(s->own);
        s->own = arena_new(64 * KiB);
        struct str *list = arena_alloc(s->own, (count + 1) * sizeof *list);
        for (size_t i = 0; i < count; i++) {
                AUTO(buf) canonical = BUF_MAX(2 * LIMIT_NAME);

                name_put_canonical(&canonical, names[i], s->auth->cluster);
                list[i] = arena_str(s->own, buf_str(&canonical));
        }
        s->own_names = list;
        s->own_name_count = count;
        AUTO_PTR(error) err = public_key_of_spki(key_der, &key);
        if (err == NULL) /* always: the key of auth is valid */
                digest(&key, s->own_key);
}

static const struct server *known_web_keys(const struct auth *a, struct str host_id)
{
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);

        server_put_web_id(host_id, &id);
        return a->servers == NULL ? NULL : map_get(&a->servers->by_id, buf_str(&id));
}

/* Appends the digest of a key if the proxy has proven that it has the private key. */
static struct error *add_web_key(struct arena *arena, const Cteleport__V1__WebKey *reported, Cteleport__State__V1__Server *record)
{
        AUTO(buf) der = BUF_MAX(PUBLIC_KEY_MAX);
        uint8_t *hash = arena_alloc(arena, DIGEST_SIZE);
        struct public_key key;

        TRY(public_key_check_der(pb_str(reported->public_key), &der));
        TRY(key_proof_check(buf_str(&der), pb_str(reported->proof)));
        TRY(public_key_of_spki(buf_str(&der), &key));
        digest(&key, hash);
        record->keys[record->n_keys++] = (ProtobufCBinaryData){ DIGEST_SIZE, hash };
        return NULL;
}

static bool has_same_keys(const Cteleport__State__V1__Server *one, const Cteleport__State__V1__Server *other)
{
        if (one->n_keys != other->n_keys)
                return false;
        for (size_t i = 0; i < one->n_keys; i++)
                if (!str_equal(pb_str(one->keys[i]), pb_str(other->keys[i])))
                        return false;
        return true;
}

static void on_web_keys_noted(void *ctx, uint64_t revision, struct error *err)
{
        AUTO_MEM char *host_id = ctx;
        AUTO_PTR(error) owned = err;

        (void)revision;
        if (err == NULL)
                log_info("The keys of a proxy's web certificates are never certified", LOG_C("host_id", host_id));
        else /* the host was removed, or the proxy will report them again */
                log_warn("The keys of a proxy's web certificates could not be written down", LOG_C("host_id", host_id), LOG_ERR(err));
}

void servers_note_web_keys(struct auth *a, struct str host_id, Cteleport__V1__WebKey *const *keys, size_t count)
{
        AUTO_PTR(arena) arena = arena_new(RECORD_ARENA);
        Cteleport__State__V1__Server record = CTELEPORT__STATE__V1__SERVER__INIT;
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);
        bool is_local = str_equal(host_id, str_of(a->service->boot->host_id)); /* its host record may be stored later */

        if (a->servers == NULL || a->is_stopping)
                return;
        record.host_id = pb_text(str_to_c(arena, host_id));
        record.keys = arena_alloc(arena, (KEYS_KEPT + 1) * sizeof *record.keys);
        for (size_t i = 0; i < count && record.n_keys < KEYS_KEPT; i++) {
                AUTO_PTR(error) err = add_web_key(arena, keys[i], &record);

                if (err != NULL)
                        log_warn("A proxy reports a key of a web certificate without a proof that it has the private key", LOG_STR("host_id", host_id),
                                 LOG_ERR(err));
        }
        const struct server *known = known_web_keys(a, host_id);
        if (known != NULL && has_same_keys(known->record, &record))
                return; /* servers_put() extends the expiry of this record */
        struct store_txn *t = store_txn_new(a->store);
        if (!is_local)
                host_require(t, host_id, STORE_ANY);
        server_put_web_id(host_id, &id);
        state_put(t, &server_kind, buf_str(&id), &record.base, walltime_add(loop_wall(&a->loop), a->host_cert_ttl));
        store_txn_commit(t, on_web_keys_noted, str_dup(host_id));
}

/* Puts the last KEYS_KEPT keys of the host, newest last: these include the keys of all valid certificates. */
static void put_keys(const struct auth *a, struct arena *arena, struct str host_id, struct str key_der, Cteleport__State__V1__Server *record)
{
        const struct server *known = a->servers == NULL ? NULL : map_get(&a->servers->by_id, host_id);
        size_t old = known == NULL ? 0 : known->record->n_keys, skipped = old >= KEYS_KEPT ? old - KEYS_KEPT + 1 : 0;
        uint8_t *hash = arena_alloc(arena, DIGEST_SIZE);
        struct public_key key;
        AUTO_PTR(error) err = public_key_of_spki(key_der, &key);

        record->keys = arena_alloc(arena, (KEYS_KEPT + 1) * sizeof *record->keys);
        for (size_t i = skipped; i < old; i++)
                record->keys[record->n_keys++] = known->record->keys[i];
        if (err != NULL) /* never: the key was checked before */
                return;
        digest(&key, hash);
        record->keys[record->n_keys++] = (ProtobufCBinaryData){ DIGEST_SIZE, hash };
}

void servers_put(const struct auth *a, struct store_txn *t, struct str host_id, struct str binding, const struct str *names, size_t count,
                 struct str key_der, struct walltime expires)
{
        AUTO_PTR(arena) arena = arena_new(RECORD_ARENA);
        Cteleport__State__V1__Server record = CTELEPORT__STATE__V1__SERVER__INIT;
        AUTO(buf) web_id = BUF_MAX(LIMIT_STORE_KEY);

        record.host_id = pb_text(str_to_c(arena, host_id));
        record.binding = pb_text(str_to_c(arena, binding));
        record.names = arena_alloc(arena, (count + 1) * sizeof *record.names);
        for (size_t i = 0; i < count; i++) {
                AUTO(buf) canonical = BUF_MAX(2 * LIMIT_NAME);

                name_put_canonical(&canonical, names[i], a->cluster);
                record.names[record.n_names++] = pb_text(str_to_c(arena, buf_str(&canonical)));
        }
        put_keys(a, arena, host_id, key_der, &record);
        state_put(t, &server_kind, host_id, &record.base, expires);
        const struct server *web = known_web_keys(a, host_id);
        if (web == NULL)
                return;
        server_put_web_id(host_id, &web_id);
        state_put(t, &server_kind, buf_str(&web_id), &web->record->base, expires);
}

void servers_delete(struct store_txn *t, struct str host_id)
{
        AUTO(buf) web_id = BUF_MAX(LIMIT_STORE_KEY);

        server_put_web_id(host_id, &web_id);
        state_delete(t, &server_kind, host_id);
        state_delete(t, &server_kind, buf_str(&web_id));
}

void servers_warn_of_duplicates(const struct auth *a, struct str host_id, const struct str *names, size_t count)
{
        struct str ids[LIMIT_DIAL_CANDIDATES];

        if (a->sessions == NULL)
                return;
        for (size_t i = 0; i < count; i++) {
                size_t found = nodes_named(sessions_nodes(a->sessions), names[i], ids, ARRAY_LEN(ids));

                for (size_t k = 0; k < found && k < ARRAY_LEN(ids); k++)
                        if (!str_equal(ids[k], host_id))
                                log_warn("A proxy has the name of another host as its public name; that host is known by its ID only from now on",
                                         LOG_STR("name", names[i]), LOG_STR("proxy_host_id", host_id), LOG_STR("host_id", ids[k]),
                                         LOG_C("hint", "change teleport.nodename of that host"));
        }
}
