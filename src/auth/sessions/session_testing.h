/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixture for tests of sessions: an Auth Service without its listener. Calls arrive over a socketpair from callers that
 * the test defines; the store, the audit log, users and their certificates are real.
 */
#ifndef AUTH_SESSIONS_SESSION_TESTING_H
#define AUTH_SESSIONS_SESSION_TESTING_H

#include <stdlib.h>
#include <unistd.h>

#include "api.pb-c.h"
#include "auth/core/caller.h"
#include "auth/core/disk_watch.h"
#include "auth/core/methods.h"
#include "auth/core/retention_clock.h"
#include "auth/hosts/app_addresses.h"
#include "auth/hosts/hosts.h"
#include "auth/sessions/record_disk.h"
#include "auth/sessions/sessions.h"
#include "auth/users/directory.h"
#include "auth/web/web_sessions.h"
#include "net/net_testing.h"
#include "os/file_testing.h"
#include "pki/pki_testing.h"
#include "rpc/pb.h"
#include "store/store_testing.h"

#define WEB_1 "11111111-1111-4111-8111-111111111111"
#define WEB_2 "22222222-2222-4222-8222-222222222222"
#define CLUSTER "example.com"
enum { NOW = 1700000000, SESSIONS_OF_ONE = 16 };

struct testbed {
        const char *role; /* of the certificates of callers; NULL: "Node" */
        struct fake_clock clock;
        struct auth a;
        struct test_ca ca;
        char *dir;
        int waiting; /* number of pending answers */
        struct error *err; /* error of the last answer */
};

/* Runs until the condition holds; a test that hangs is killed by its harness. */
#define AWAIT(w, condition)                                                                                            \
        while (!(condition))                                                                                           \
        uv_run(&(w)->a.loop.uv, UV_RUN_ONCE)

static inline UNUSED void answered(void *ctx, struct error *err)
{
        struct testbed *w = ctx;

        error_free(w->err);
        w->err = err;
        w->waiting--;
}

static inline UNUSED void committed(void *ctx, uint64_t revision, struct error *err)
{
        (void)revision;
        answered(ctx, err);
}

static inline UNUSED void closed(void *ctx)
{
        answered(ctx, NULL);
}

#define AWAIT_ANSWER(w)                                                                                                \
        do {                                                                                                           \
                AWAIT(w, (w)->waiting == 0);                                                                           \
                assert_done((w)->err);                                                                                 \
                (w)->err = NULL;                                                                                       \
        } while (0)

/* ---- content of the store ------------------------------------------------------------------------------------- */

static inline UNUSED void put_message(struct testbed *w, const char *key, const ProtobufCMessage *msg)
{
        struct store_txn *t = store_txn_new(w->a.store);

        AUTO(buf) bytes = BUF_MAX(LIMIT_STORE_VALUE);
        wire_encode(&bytes, msg);
        store_txn_put(t, str_of(key), buf_str(&bytes), (struct walltime){ 0 });
        w->waiting++;
        store_txn_commit(t, committed, w);
        AWAIT_ANSWER(w);
}

static inline UNUSED void delete_key(struct testbed *w, const char *key)
{
        struct store_txn *t = store_txn_new(w->a.store);

        store_txn_delete(t, str_of(key));
        w->waiting++;
        store_txn_commit(t, committed, w);
        AWAIT_ANSWER(w);
}

struct count {
        size_t count;
        bool is_done;
};

static inline UNUSED void on_counted(void *ctx, const struct state_page *page, struct error *err)
{
        struct count *c = ctx;

        assert_null(err);
        c->count = page->count;
        c->is_done = true;
}

static inline UNUSED size_t count_records(struct testbed *w, const struct state_kind *kind)
{
        struct count c = { 0 };

        state_list(w->a.store, kind, STR(""), LIMIT_STORE_RANGE, on_counted, &c);
        AWAIT(w, c.is_done);
        return c.count;
}

static inline UNUSED void given_node(struct testbed *w, const char *id, const char *name, const char *env)
{
        Cteleport__State__V1__Host host = CTELEPORT__STATE__V1__HOST__INIT;
        Cteleport__State__V1__Presence p = CTELEPORT__STATE__V1__PRESENCE__INIT;
        Cteleport__State__V1__Presence__LabelsEntry label = CTELEPORT__STATE__V1__PRESENCE__LABELS_ENTRY__INIT, *labels[] = { &label };
        char *services[] = { pb_text("Node") };
        AUTO_MEM char *host_at = mem_printf("/hosts/%s", id);
        AUTO_MEM char *presence_at = mem_printf("/presence/%s", id);

        host.host_id = p.host_id = pb_text(id);
        host.hostname = p.hostname = pb_text(name);
        label.key = pb_text("env");
        label.value = pb_text(env);
        p.labels = labels;
        p.n_labels = 1;
        p.services = services;
        p.n_services = 1;
        put_message(w, host_at, &host.base);
        put_message(w, presence_at, &p.base);
}

/* With the preset role "access" and the logins root and deploy; created in that second; 0: at an unknown time. */
static inline UNUSED void given_user_since(struct testbed *w, const char *name, int64_t created)
{
        Cteleport__V1__CreatedBy by = CTELEPORT__V1__CREATED_BY__INIT;
        Cteleport__V1__Timestamp time = CTELEPORT__V1__TIMESTAMP__INIT;
        Cteleport__V1__User user = CTELEPORT__V1__USER__INIT;
        Cteleport__V1__Metadata metadata = CTELEPORT__V1__METADATA__INIT;
        Cteleport__V1__UserSpec spec = CTELEPORT__V1__USER_SPEC__INIT;
        Cteleport__V1__UserSpec__TraitsEntry trait = CTELEPORT__V1__USER_SPEC__TRAITS_ENTRY__INIT, *traits[] = { &trait };
        Cteleport__V1__StringList logins = CTELEPORT__V1__STRING_LIST__INIT;
        char *roles[] = { pb_text("access") };
        char *values[] = { pb_text("root"), pb_text("deploy") };
        AUTO_MEM char *at = mem_printf("/users/%s", name);

        user.kind = pb_text("user");
        user.version = pb_text("v2");
        user.metadata = &metadata;
        metadata.name = pb_text(name);
        user.spec = &spec;
        spec.roles = roles;
        spec.n_roles = 1;
        time.seconds = created;
        by.time = &time;
        spec.created_by = created == 0 ? NULL : &by;
        spec.traits = traits;
        spec.n_traits = 1;
        trait.key = pb_text("logins");
        trait.value = &logins;
        logins.values = values;
        logins.n_values = 2;
        put_message(w, at, &user.base);
}

static inline UNUSED void given_user(struct testbed *w, const char *name)
{
        given_user_since(w, name, 0);
}

/* A lock with the messages that it consists of. The texts must live as long. */
struct test_lock {
        Cteleport__V1__Lock lock;
        Cteleport__V1__Metadata metadata;
        Cteleport__V1__LockSpec spec;
};

static inline UNUSED void test_lock_init(struct test_lock *l, const char *name, Cteleport__V1__LockTarget *target)
{
        cteleport__v1__lock__init(&l->lock);
        cteleport__v1__metadata__init(&l->metadata);
        cteleport__v1__lock_spec__init(&l->spec);
        l->lock.kind = pb_text("lock");
        l->lock.version = pb_text("v2");
        l->lock.metadata = &l->metadata;
        l->lock.spec = &l->spec;
        l->metadata.name = pb_text(name);
        l->spec.target = target;
}

static inline UNUSED void given_lock(struct testbed *w, Cteleport__V1__LockTarget target)
{
        struct test_lock l;

        test_lock_init(&l, "l1", &target);
        put_message(w, "/locks/l1", &l.lock.base);
}

static inline UNUSED void given_lock_on(struct testbed *w, const char *user)
{
        Cteleport__V1__LockTarget target = CTELEPORT__V1__LOCK_TARGET__INIT;

        target.user = pb_text(user);
        given_lock(w, target);
}

/* ---- certificates ------------------------------------------------------------------------------------------------- */

/* An SSH certificate of the user for one login, valid for `until` seconds from now. */
static inline UNUSED struct buf ssh_cert(struct test_ca *ca, const char *user, const char *login, int64_t until)
{
        struct buf cert = BUF_MAX(CERT_MAX);
        AUTO(buf) public_key = BUF_MAX(2 * KiB);
        struct key key = given_key(KEY_ED25519);
        struct str principal = str_of(login), role = STR("access");
        struct ssh_user_subject subject = { .user = str_of(user), .principals = &principal, .principal_count = 1, .roles = &role,
                                            .role_count = 1, .permit_pty = true, .permit_port_forwarding = true };

        assert_done(key_public_ssh(&key, &public_key));
        assert_done(ssh_issue_user(ca->ssh, &subject, buf_str(&public_key), 77, times_of(NOW - 50, NOW + until), &cert));
        key_release(&key);
        return cert;
}

/* web_session: ID of the web session that it belongs to; "": none. */
static inline UNUSED struct buf web_cert(struct test_ca *ca, const char *user, int64_t until, const char *web_session)
{
        struct buf cert = BUF_MAX(CERT_MAX);
        AUTO(buf) public_key = BUF_MAX(2 * KiB);
        struct key key = given_key(KEY_ECDSA_P256);
        struct str login = STR("root"), role = STR("access");
        struct x509_user_subject subject = { .user = str_of(user), .cluster = STR(CLUSTER), .roles = &role, .role_count = 1,
                                             .logins = &login, .login_count = 1, .web_session = str_of(web_session) };

        assert_done(key_public_der(&key, &public_key));
        assert_done(x509_issue_user(ca->x509, &subject, buf_str(&public_key), times_of(NOW - 50, NOW + until), &cert, NULL));
        key_release(&key);
        return cert;
}

static inline UNUSED struct buf tls_cert(struct test_ca *ca, const char *user, int64_t until)
{
        return web_cert(ca, user, until, "");
}

/* ---- life ------------------------------------------------------------------------------------------------------------ */

static inline UNUSED void testbed_trust(struct testbed *w)
{
        static Cteleport__Internal__V1__Authority users = CTELEPORT__INTERNAL__V1__AUTHORITY__INIT;
        static ProtobufCBinaryData tls, ssh;

        tls = pb_bytes(buf_str(&w->ca.cert));
        ssh = pb_bytes(buf_str(&w->ca.keys.ssh_public));
        users.tls_certs = &tls;
        users.ssh_keys = &ssh;
        users.n_tls_certs = users.n_ssh_keys = 1;
        w->a.authorities.user = &users;
}

static inline UNUSED void testbed_open_sessions(struct testbed *w)
{
        w->waiting++;
        w->a.sessions = sessions_open(&w->a, answered, w);
        AWAIT_ANSWER(w);
}

static inline UNUSED int testbed_open(void **state)
{
        struct testbed *w = NEW(struct testbed);
        struct auth *a = &w->a;

        w->dir = test_dir_new();
        fake_clock_init(&w->clock, NOW);
        assert_done(loop_init(&a->loop, &w->clock.clock));
        a->cluster = STR(CLUSTER);
        a->log_dir = path_in(w->dir, "log");
        a->records_dir = path_in(w->dir, "log/records");
        test_ca_init(&w->ca, times_of(NOW - 100, NOW + 100000));
        testbed_trust(w);
        assert_done(store_open(&a->loop, (struct store_options){ .type = "memory" }, &a->store));
        assert_done(audit_log_open(&a->loop, a->log_dir, &a->audit));
        a->record_disk = record_disk_new(&a->loop);
        a->retention_clock = retention_clock_new(&a->loop, a->log_dir);
        w->waiting = 2;
        a->outbox = outbox_open(&a->loop, a->store, a->audit, answered, w);
        a->directory = directory_open(a, answered, w);
        AWAIT_ANSWER(w);
        w->waiting++;
        a->web_sessions = web_sessions_open(a, answered, w);
        AWAIT_ANSWER(w);
        testbed_open_sessions(w);
        given_user(w, "alice");
        given_node(w, WEB_1, "web-1", "prod");
        *state = w;
        return 0;
}

static inline UNUSED int testbed_close(void **state)
{
        struct testbed *w = *state;
        struct auth *a = &w->a;

        if (a->callers != NULL)
                return -1; /* the test failed early: its pending callbacks would call into it */
        a->is_stopping = true; /* from here on in the order of auth.c: a timer that is due finds no sessions */
        sessions_close(a->sessions);
        a->sessions = NULL;
        w->waiting++;
        outbox_close(a->outbox, closed, w);
        AWAIT_ANSWER(w);
        w->waiting++;
        audit_log_close(a->audit, closed, w);
        AWAIT_ANSWER(w);
        directory_stop(a->directory);
        web_sessions_stop(a->web_sessions);
        w->waiting++;
        store_close(a->store, closed, w);
        AWAIT_ANSWER(w);
        web_sessions_close(a->web_sessions);
        directory_close(a->directory);
        disk_watch_free(a->disk);
        record_disk_free(a->record_disk);
        retention_clock_free(a->retention_clock);
        shares_release(&a->dials);
        budget_release(&a->unstored);
        app_addresses_stop(a);
        loop_release(&a->loop);
        map_release(&a->uploads);
        record_stamps_release(&a->record_stamps);
        test_ca_release(&w->ca);
        test_dir_free(w->dir);
        free(pb_text(a->log_dir));
        free(pb_text(a->records_dir));
        free(w);
        return 0;
}

/* Counts the occurrences of a text in the audit log, after pending events were written. */
static inline UNUSED size_t count_events(struct testbed *w, const char *text)
{
        AUTO_MEM char *path = path_in(w->a.log_dir, "events.log");
        AUTO(buf) log = BUF_MAX(8 * MiB);
        size_t count = 0;

        w->waiting++;
        struct audit_record mark = { 0 };
        auth_audit_begin(&w->a, &mark, &audit_cluster_init);
        audit_write(w->a.audit, &mark, answered, w); /* appended to the earlier bytes */
        AWAIT_ANSWER(w);
        assert_done(file_read(path, &log));
        for (const char *at = buf_c(&log); (at = strstr(at, text)) != NULL; at++)
                count++;
        return count;
}

/* ---- callers --------------------------------------------------------------------------------------------------------------- */

static inline UNUSED void on_caller_gone(void *ctx)
{
        caller_free(ctx);
}

static inline UNUSED void on_client_lost(void *ctx, struct error *err)
{
        (void)ctx;
        error_free(err);
}

static inline UNUSED struct rpc_client *connect_as(struct testbed *w, unsigned groups, const char *host_id, const char *user)
{
        struct caller *c = caller_new(&w->a, groups, str_of(host_id), str_of(w->role != NULL ? w->role : "Node"), "test");
        struct stream *ours, *theirs;

        free(c->user);
        c->user = str_dup(str_of(user));
        c->cert_not_after = walltime_of_unix(NOW + 100000);
        connected_pair(&w->a.loop, &ours, &theirs);
        c->conn = rpc_serve(&w->a.loop, ours,
                            (struct rpc_server_options){ .methods = auth_method_list(), .guard = auth_guard, .caller = c,
                                                         .on_closed = on_caller_gone, .peer = "test" });
        return rpc_client_new(&w->a.loop, theirs, "test", on_client_lost, NULL);
}

/* ---- a pool that is busy ------------------------------------------------------------------------------------------------ */

enum { THREADS = 4 }; /* of libuv's pool */
static UNUSED int gate[2];

static inline UNUSED void wait_at_gate(void *ctx)
{
        char go;

        (void)ctx;
        while (read(gate[0], &go, 1) != 1)
                ;
}

static inline UNUSED void on_let_go(void *ctx)
{
        ++*(int *)ctx;
}

/* Occupies all threads of the pool, so that further jobs wait. */
static inline UNUSED void given_busy_pool(struct testbed *w, int *let_go)
{
        *let_go = 0;
        assert_int_equal(pipe(gate), 0);
        for (int i = 0; i < THREADS; i++)
                loop_job(&w->a.loop, wait_at_gate, on_let_go, let_go);
}

static inline UNUSED void open_gate(struct testbed *w, const int *let_go)
{
        assert_int_equal(write(gate[1], "....", THREADS), THREADS);
        AWAIT(w, *let_go == THREADS);
        close(gate[0]);
        close(gate[1]);
}

#endif
