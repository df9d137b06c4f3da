/* SPDX-License-Identifier: Apache-2.0 */
/* Every kind of record: written, read, found under the key that earlier releases used, and refused when it is damaged. */
#include "base/error_testing.h"
#include "rpc/pb.h"
#include "state/state.h"
#include "state/state_check.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "state/cluster.h"
#include "state/connection.h"
#include "state/credential.h"
#include "state/host.h"
#include "state/invite.h"
#include "state/lock.h"
#include "state/name.h"
#include "state/outbox_event.h"
#include "state/presence.h"
#include "state/recording.h"
#include "state/role.h"
#include "state/rotation.h"
#include "state/server.h"
#include "state/session.h"
#include "state/state_watch.h"
#include "state/token.h"
#include "state/user.h"
#include "state/web_session.h"
#include "store/store_testing.h"

enum { ARENA = MiB };

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" /* SHA-256 of "abc": FIPS 180-2 appendix B.1 */
#define HOST_ID "11111111-1111-4111-8111-111111111111"

struct fixture {
        struct store_bench bench;
        struct arena *arena;
        /* of the last call */
        bool is_done, is_there;
        uint64_t revision;
        struct error *err;
        struct buf text;
        const struct state_kind *kind;
        bool is_stopped;
        size_t count, unreadable;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        assert_null(store_bench_open(&f->bench, (struct store_options){ .type = "memory" }));
        f->arena = arena_new(ARENA);
        f->text = BUF_MAX(64 * KiB);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        error_free(f->err);
        arena_free(f->arena);
        buf_release(&f->text);
        store_bench_close(&f->bench);
        free(f);
        return 0;
}

static void arrived(struct fixture *f)
{
        f->is_done = true;
        loop_stop(&f->bench.loop);
}

static void await(struct fixture *f)
{
        while (!f->is_done)
                loop_run(&f->bench.loop);
        f->is_done = false;
}

static void commit(struct fixture *f, struct store_txn *t)
{
        assert_null(store_bench_commit(&f->bench, t, NULL));
}

static struct store_txn *begin(struct fixture *f)
{
        return store_txn_new(f->bench.store);
}

/* ---- every kind ---------------------------------------------------------------------------------------- */

#define READ(name, type)                                                                                               \
        static struct error *read_##name(struct arena *a, const struct state_record *r)                                \
        {                                                                                                              \
                type *record = NULL;                                                                                   \
                                                                                                                       \
                return name##_read(a, r, &record);                                                                     \
        }
READ(host, Cteleport__State__V1__Host)
READ(name, Cteleport__State__V1__Name)
READ(presence, Cteleport__State__V1__Presence)
READ(server, Cteleport__State__V1__Server)
READ(connection, Cteleport__State__V1__Connection)
READ(session, Cteleport__State__V1__Session)
READ(recording, Cteleport__State__V1__Recording)
READ(invite, Cteleport__State__V1__Invite)
READ(rotation, Cteleport__State__V1__Rotation)
READ(token, Cteleport__V1__Token)
READ(user, Cteleport__V1__User)
READ(role, Cteleport__V1__Role)
READ(lock, Cteleport__V1__Lock)

static struct error *read_credential(struct arena *a, const struct state_record *r)
{
        AUTO(credential) c = { 0 };

        (void)a;
        return credential_read(r, &c);
}

static struct error *read_web_session(struct arena *a, const struct state_record *r)
{
        Cteleport__State__V1__WebSession *session;

        return web_session_read(a, r, &session);
}

/* prefix: of the keys, in data directories that other releases wrote. */
static const struct every_kind {
        const struct state_kind *kind;
        const char *prefix;
        struct error *(*read)(struct arena *a, const struct state_record *r);
} kinds[] = {
        { &host_kind, "/hosts/", read_host },
        { &name_kind, "/names/", read_name },
        { &presence_kind, "/presence/", read_presence },
        { &server_kind, "/servers/", read_server },
        { &connection_kind, "/connections/", read_connection },
        { &session_kind, "/sessions/", read_session },
        { &recording_kind, "/recordings/", read_recording },
        { &invite_kind, "/invites/", read_invite },
        { &rotation_kind, "/rotations/", read_rotation },
        { &credential_kind, "/passwords/", read_credential },
        { &token_kind, "/tokens/", read_token },
        { &user_kind, "/users/", read_user },
        { &role_kind, "/roles/", read_role },
        { &lock_kind, "/locks/", read_lock },
        { &web_session_kind, "/web_sessions/", read_web_session },
        { &web_session_use_kind, "/web_session_uses/", NULL },
        { &outbox_event_kind, "/audit/outbox/", NULL },
};

static const struct every_kind *row_of(const struct state_kind *kind)
{
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                if (kinds[i].kind == kind)
                        return &kinds[i];
        fail();
        return NULL;
}

static void on_record(void *ctx, const struct state_record *r, struct error *err)
{
        struct fixture *f = ctx;

        error_free(f->err);
        f->err = err;
        f->is_there = r != NULL;
        f->revision = r == NULL ? 0 : r->revision;
        if (r != NULL && f->err == NULL)
                f->err = row_of(r->kind)->read(f->arena, r);
        arrived(f);
}

static void look_up(struct fixture *f, const struct state_kind *kind, const char *id)
{
        state_get(f->bench.store, kind, str_of(id), on_record, f);
        await(f);
}

static void keeps_the_keys_that_are_on_disk(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                assert_string_equal(kinds[i].kind->prefix.ptr, kinds[i].prefix);
}

static void reports_a_damaged_record_of_every_kind(void **state)
{
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                AUTO_MEM char *key = mem_printf("%sx", kinds[i].prefix);

                if (kinds[i].read == NULL)
                        continue;
                assert_null(store_bench_put(&f->bench, key, STR("\xff\xff\xff"), (struct walltime){ 0 }, NULL));
                look_up(f, kinds[i].kind, "x");
                assert_true(f->is_there);
                assert_non_null(f->err);
                assert_int_equal(f->err->code, ERROR_DATA_LOSS);
                AUTO_MEM char *what = mem_printf("a stored %s cannot be read", kinds[i].kind->name);
                assert_string_equal(f->err->what, what);
        }
}

/* The value is no message; kinds of text accept it. */
static void checks_items_of_every_kind(void **state)
{
        static const char *const texts[] = { "/audit/outbox/", "/cluster/", "/health/", "/invited/", "/web_session_uses/" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                AUTO_MEM char *key = mem_printf("%sx", kinds[i].prefix);
                struct store_item item = { .key = str_of(key), .value = STR("\xff\xff\xff") };

                if (kinds[i].read != NULL)
                        assert_code(state_check_item(&item), ERROR_DATA_LOSS);
                item.value = STR("");
                if (kinds[i].read != NULL)
                        assert_done(state_check_item(&item));
        }
        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
                AUTO_MEM char *key = mem_printf("%sx", texts[i]);

                assert_done(state_check_item(&(struct store_item){ .key = str_of(key), .value = STR("text") }));
                assert_code(state_check_item(&(struct store_item){ .key = str_of(key) }), ERROR_DATA_LOSS);
        }
        assert_code(state_check_item(&(struct store_item){ .key = STR("/new/x"), .value = STR("text") }), ERROR_UNIMPLEMENTED);
        const struct store_item cluster = { .key = STR("/cluster/name"), .value = STR("example.com") };
        assert_true(str_equal(state_cluster_name(&cluster), STR("example.com")));
}

static void finds_nothing_where_nothing_is(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *long_id = mem_alloc(LIMIT_STORE_KEY + 1);

        memset(long_id, 'x', LIMIT_STORE_KEY);
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                look_up(f, kinds[i].kind, "x");
                assert_false(f->is_there);
                assert_null(f->err);
                look_up(f, kinds[i].kind, long_id);
                assert_false(f->is_there);
                assert_int_equal(f->err->code, ERROR_INVALID_ARGUMENT);
        }
}

/* Cut to the prefix, the key would be that of another record. */
static void refuses_an_id_that_fits_no_key(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *long_id = mem_alloc(LIMIT_STORE_KEY + 1);
        Cteleport__State__V1__Session session = CTELEPORT__STATE__V1__SESSION__INIT;
        struct store_txn *t = begin(f);

        memset(long_id, 'x', LIMIT_STORE_KEY);
        state_put(t, &session_kind, str_of(long_id), &session.base, (struct walltime){ 0 });
        assert_code(store_bench_commit(&f->bench, t, NULL), ERROR_INVALID_ARGUMENT);
}

static void holds_a_transaction_to_the_revisions_it_read(void **state)
{
        struct fixture *f = *state;
        Cteleport__State__V1__Session session = CTELEPORT__STATE__V1__SESSION__INIT;
        struct store_txn *t = begin(f);

        state_require(t, &session_kind, STR("s"), 0);
        state_put(t, &session_kind, STR("s"), &session.base, (struct walltime){ 0 });
        commit(f, t);
        look_up(f, &session_kind, "s");
        assert_true(f->is_there);
        t = begin(f);
        state_require(t, &session_kind, STR("s"), f->revision + 1);
        state_delete(t, &session_kind, STR("s"));
        assert_code(store_bench_commit(&f->bench, t, NULL), ERROR_ABORTED);
        t = begin(f);
        state_require(t, &session_kind, STR("s"), f->revision);
        state_delete(t, &session_kind, STR("s"));
        commit(f, t);
        look_up(f, &session_kind, "s");
        assert_false(f->is_there);
}

/* ---- pages, scans and watches -------------------------------------------------------------------------- */

static void put_sessions(struct fixture *f, int count)
{
        for (int i = 0; i < count; i++) {
                Cteleport__State__V1__Session session = CTELEPORT__STATE__V1__SESSION__INIT;
                AUTO_MEM char *id = mem_printf("s%d", i);
                struct store_txn *t = begin(f);

                session.session_id = id;
                state_put(t, &session_kind, str_of(id), &session.base, (struct walltime){ 0 });
                commit(f, t);
        }
        assert_null(store_bench_put(&f->bench, "/sessions/s1", STR("\xff"), (struct walltime){ 0 }, NULL));
}

static void on_page(void *ctx, const struct state_page *page, struct error *err)
{
        struct fixture *f = ctx;

        assert_null(err);
        for (size_t i = 0; i < page->count; i++)
                buf_put(&f->text, page->records[i].id);
        buf_put_c(&f->text, page->is_last ? "." : ",");
        arrived(f);
}

static void lists_records_page_by_page(void **state)
{
        struct fixture *f = *state;

        put_sessions(f, 3);
        state_list(f->bench.store, &session_kind, STR(""), 2, on_page, f);
        await(f);
        state_list(f->bench.store, &session_kind, STR("s1"), 2, on_page, f);
        await(f);
        AUTO_MEM char *far = mem_alloc(LIMIT_STORE_KEY + 1);
        memset(far, 's', LIMIT_STORE_KEY);
        state_list(f->bench.store, &session_kind, str_of(far), 2, on_page, f);
        await(f);
        assert_string_equal(buf_c(&f->text), "s0s1,s2..");
}

static struct error *each_session(void *ctx, const struct state_record *r)
{
        struct fixture *f = ctx;
        Cteleport__State__V1__Session *session = NULL;

        f->count++;
        TRY(session_read(f->arena, r, &session));
        buf_put_c(&f->text, session->session_id);
        return NULL;
}

static void on_scanned(void *ctx, struct error *err)
{
        struct fixture *f = ctx;

        error_free(f->err);
        f->err = err;
        arrived(f);
}

static void scans_on_after_a_damaged_record(void **state)
{
        struct fixture *f = *state;

        put_sessions(f, 3);
        state_scan(f->bench.store, &session_kind, &f->is_stopped, each_session, on_scanned, f);
        await(f);
        assert_null(f->err);
        assert_string_equal(buf_c(&f->text), "s0s2");
        f->is_stopped = true;
        f->count = 0;
        state_scan(f->bench.store, &session_kind, &f->is_stopped, each_session, on_scanned, f);
        await(f);
        assert_int_equal(f->err->code, ERROR_CANCELLED);
        assert_int_equal(f->count, 0);
}

static void on_change(void *ctx, const struct state_record *r, bool is_deleted)
{
        struct fixture *f = ctx;

        buf_printf(&f->text, "%s%.*s", is_deleted ? "-" : "+", STR_ARG(r->id));
        assert_int_equal(r->kind == &session_kind, true);
}

static const struct state_watch_events only_changes = { .changed = on_change };

static void reports_changes_by_id(void **state)
{
        struct fixture *f = *state;
        struct state_watch *w = state_watch_new(f->bench.store, &session_kind, &only_changes, f);

        put_sessions(f, 1);
        struct store_txn *t = begin(f);
        state_delete(t, &session_kind, STR("s0"));
        commit(f, t);
        state_watch_free(w);
        put_sessions(f, 1);
        assert_string_equal(buf_c(&f->text), "+s0+s1-s0");
}

/* ---- hosts and names ----------------------------------------------------------------------------------- */

static void on_host(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err)
{
        struct fixture *f = ctx;

        error_free(f->err);
        f->err = err;
        f->is_there = host != NULL;
        f->revision = revision;
        if (host != NULL)
                buf_printf(&f->text, "%s %s", host->host_id, host->binding);
        arrived(f);
}

static void restores_the_fields_that_a_host_record_leaves_out(void **state)
{
        struct fixture *f = *state;
        Cteleport__State__V1__Host host = CTELEPORT__STATE__V1__HOST__INIT;
        AUTO_MEM char *stored = NULL;
        struct store_txn *t = begin(f);

        host.host_id = pb_text(HOST_ID);
        host.join_method = pb_text("iam");
        host.aws_account = pb_text("123456789012");
        host.aws_arn = pb_text("arn:aws:sts::123456789012:assumed-role/web/i-1");
        host.binding = pb_text("iam:123456789012:arn:aws:sts::123456789012:assumed-role/web");
        host_require(t, STR(HOST_ID), 0);
        host_put(t, &host, (struct walltime){ 0 });
        commit(f, t);
        assert_null(store_bench_get(&f->bench, "/hosts/" HOST_ID, &stored, NULL));
        assert_null(strstr(stored, HOST_ID));
        assert_null(strstr(stored, "iam:"));
        host_get(f->bench.store, STR(HOST_ID), on_host, f);
        await(f);
        assert_string_equal(buf_c(&f->text), HOST_ID " iam:123456789012:arn:aws:sts::123456789012:assumed-role/web");
        t = begin(f);
        host_delete(t, STR(HOST_ID));
        commit(f, t);
        host_get(f->bench.store, STR(HOST_ID), on_host, f);
        await(f);
        assert_false(f->is_there);
        assert_null(f->err);
}

static void gives_the_caller_the_error_of_a_damaged_host(void **state)
{
        struct fixture *f = *state;

        assert_null(store_bench_put(&f->bench, "/hosts/" HOST_ID, STR("\xff"), (struct walltime){ 0 }, NULL));
        host_get(f->bench.store, STR(HOST_ID), on_host, f);
        await(f);
        assert_false(f->is_there);
        assert_int_equal(f->err->code, ERROR_DATA_LOSS);
        assert_int_not_equal(f->revision, 0);
}

static void on_name(void *ctx, const Cteleport__State__V1__Name *name, uint64_t revision, struct error *err)
{
        struct fixture *f = ctx;

        (void)revision;
        error_free(f->err);
        f->err = err;
        f->is_there = name != NULL;
        if (name != NULL)
                buf_printf(&f->text, "%s %d%d ", name->host_id, name_is_bound_to(name, STR("iam:x")), name_is_bound_to(name, STR("iam:y")));
        arrived(f);
}

static void keeps_a_name_under_its_canonical_form(void **state)
{
        struct fixture *f = *state;
        Cteleport__State__V1__Name old = CTELEPORT__STATE__V1__NAME__INIT;
        uint8_t bytes[256];
        struct store_txn *t = begin(f);

        name_require(t, STR("WEB.example.com."), STR("example.com"), 0);
        name_put(t, STR("WEB.example.com."), STR("example.com"), STR("h1"), STR("iam:x"), (struct walltime){ 0 });
        commit(f, t);
        name_get(f->bench.store, STR("web"), STR("example.com"), on_name, f);
        await(f);
        assert_string_equal(buf_c(&f->text), "h1 10 ");
        old.host_id = pb_text("h2");
        old.binding = pb_text("iam:y"); /* as releases before the digest wrote it */
        size_t size = cteleport__state__v1__name__pack(&old, bytes);
        assert_null(store_bench_put(&f->bench, "/names/web", str_of_bytes(bytes, size), (struct walltime){ 0 }, NULL));
        name_get(f->bench.store, STR("web"), STR("example.com"), on_name, f);
        await(f);
        assert_string_equal(buf_c(&f->text), "h1 10 h2 01 ");
        t = begin(f);
        name_delete(t, STR("Web"), STR("example.com"));
        commit(f, t);
        name_get(f->bench.store, STR("web"), STR("example.com"), on_name, f);
        await(f);
        assert_false(f->is_there);
}

/* ---- tokens and other resources ------------------------------------------------------------------------ */

static void put_token(struct fixture *f, const char *name, bool has_spec)
{
        Cteleport__V1__Token token = CTELEPORT__V1__TOKEN__INIT;
        Cteleport__V1__Metadata metadata = CTELEPORT__V1__METADATA__INIT;
        Cteleport__V1__TokenSpec spec = CTELEPORT__V1__TOKEN_SPEC__INIT;
        struct store_txn *t = begin(f);

        metadata.name = pb_text(name);
        metadata.revision = pb_text("17");
        token.metadata = &metadata;
        token.spec = has_spec ? &spec : NULL;
        token_put(t, &token);
        commit(f, t);
}

static void keeps_a_token_under_a_digest_of_its_name(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *stored = NULL;
        uint64_t revision = 0;

        put_token(f, "abc", true);
        assert_null(store_bench_get(&f->bench, "/tokens/" ABC, &stored, &revision));
        assert_non_null(stored);
        assert_null(strstr(stored, "17"));
        look_up(f, &token_kind, ABC);
        assert_null(f->err);
        assert_int_equal(f->revision, revision);
        struct store_txn *t = begin(f);
        token_require(t, STR("abc"), revision);
        token_delete(t, STR("abc"));
        commit(f, t);
        look_up(f, &token_kind, ABC);
        assert_false(f->is_there);
}

static void refuses_a_token_of_another_name_than_its_key(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);
        AUTO_MEM char *stored = NULL;
        uint64_t revision = 0;

        put_token(f, "abc", true);
        assert_null(store_bench_get(&f->bench, "/tokens/" ABC, &stored, &revision));
        assert_null(store_bench_put(&f->bench, "/tokens/other", str_of(stored), (struct walltime){ 0 }, NULL));
        look_up(f, &token_kind, "other");
        assert_int_equal(f->err->code, ERROR_DATA_LOSS);
        put_token(f, "no spec", false);
        token_put_id(STR("no spec"), &id);
        look_up(f, &token_kind, buf_c(&id));
        assert_int_equal(f->err->code, ERROR_DATA_LOSS);
}

static void finds_the_token_of_a_host_of_any_release(void **state)
{
        static const struct {
                const char *token_key, *binding, *token_name;
        } hosts[] = {
                { "/tokens/" ABC, "iam:x", "y" },
                { "", "token:" ABC, "" },
                { "", "iam:x", "abc" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
                Cteleport__State__V1__Host host = CTELEPORT__STATE__V1__HOST__INIT;
                AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);

                host.token_key = pb_text(hosts[i].token_key);
                host.binding = pb_text(hosts[i].binding);
                host.token_name = pb_text(hosts[i].token_name);
                token_put_id_of_host(&host, &id);
                assert_string_equal(buf_c(&id), ABC);
        }
}

static void names_a_token_of_a_host_once(void **state)
{
        Cteleport__State__V1__Host host = CTELEPORT__STATE__V1__HOST__INIT;
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);

        (void)state;
        host.token_name = pb_text("abc");
        token_set_of_host(&host, STR("abc"), &key);
        assert_string_equal(host.token_key, "");
        host.token_name = pb_text("***");
        token_set_of_host(&host, STR("abc"), &key);
        assert_string_equal(host.token_key, "/tokens/" ABC);
}

static void refuses_a_resource_without_its_name(void **state)
{
        struct fixture *f = *state;
        Cteleport__V1__User user = CTELEPORT__V1__USER__INIT;
        Cteleport__V1__Metadata metadata = CTELEPORT__V1__METADATA__INIT;
        struct store_txn *t = begin(f);

        state_put(t, &user_kind, STR("alice"), &user.base, (struct walltime){ 0 });
        metadata.name = pb_text("bob");
        user.metadata = &metadata;
        state_put(t, &user_kind, STR("bob"), &user.base, (struct walltime){ 0 });
        state_put(t, &user_kind, STR("carol"), &user.base, (struct walltime){ 0 });
        commit(f, t);
        look_up(f, &user_kind, "alice");
        assert_int_equal(f->err->code, ERROR_DATA_LOSS);
        look_up(f, &user_kind, "carol");
        assert_int_equal(f->err->code, ERROR_DATA_LOSS);
        look_up(f, &user_kind, "bob");
        assert_null(f->err);
}

/* ---- users' secrets ------------------------------------------------------------------------------------ */

static void on_credential(void *ctx, const struct state_record *r, struct error *err)
{
        struct fixture *f = ctx;
        AUTO(credential) c = { 0 };

        assert_null(err);
        assert_null(credential_read(r, &c));
        buf_clear(&f->text);
        buf_printf(&f->text, "%.*s %zu %lld %d %d", STR_ARG(c.hash), c.totp_key.len, (long long)c.last_step, credential_knows(&c, "192.0.2.1"),
                   c.revision != 0);
        arrived(f);
}

static void keeps_the_password_and_second_factor_of_a_user(void **state)
{
        struct fixture *f = *state;
        AUTO(credential) c = { 0 };
        struct store_txn *t = begin(f);

        c.hash = (struct str){ str_dup(STR("$argon2id$x")), 11 };
        c.totp_key = secret_of(STR("0123456789\0abcdefghi"));
        c.last_step = 56789;
        credential_add_source(&c, "192.0.2.1");
        credential_put(t, STR("alice"), &c);
        commit(f, t);
        state_get(f->bench.store, &credential_kind, STR("alice"), on_credential, f);
        await(f);
        assert_string_equal(buf_c(&f->text), "$argon2id$x 20 56789 1 1");
        t = begin(f);
        credentials_delete(t, STR("alice"));
        commit(f, t);
        state_get(f->bench.store, &credential_kind, STR("alice"), on_credential, f);
        await(f);
        assert_string_equal(buf_c(&f->text), " 0 0 0 0");
}

static void remembers_the_sources_of_the_last_logins(void **state)
{
        AUTO(credential) c = { 0 };

        (void)state;
        for (int i = 0; i < LIMIT_LOGIN_SOURCES; i++) {
                char source[SOURCE_TEXT_MAX];

                snprintf(source, sizeof source, "192.0.2.%d", i);
                credential_add_source(&c, source);
        }
        credential_add_source(&c, "192.0.2.0"); /* was the oldest, is the newest now */
        assert_int_equal(c.source_count, LIMIT_LOGIN_SOURCES);
        credential_add_source(&c, "2001:db8::/64");
        assert_int_equal(c.source_count, LIMIT_LOGIN_SOURCES);
        assert_true(credential_knows(&c, "2001:db8::/64"));
        assert_true(credential_knows(&c, "192.0.2.0"));
        assert_false(credential_knows(&c, "192.0.2.1"));
        assert_true(credential_knows(&c, "192.0.2.2"));
}

static void on_newest(void *ctx, struct str id, uint64_t revision, struct error *err)
{
        struct fixture *f = ctx;

        error_free(f->err);
        f->err = err;
        f->revision = revision;
        buf_clear(&f->text);
        buf_put(&f->text, id);
        arrived(f);
}

static void names_the_newest_invite_of_a_user(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);
        AUTO_MEM char *stored = NULL;
        struct store_txn *t = begin(f);

        invite_put_id(STR("abc"), &id);
        assert_string_equal(buf_c(&id), ABC);
        invite_newest_require(t, STR("alice"), 0);
        invite_newest_put(t, STR("alice"), buf_str(&id), (struct walltime){ 0 });
        commit(f, t);
        assert_null(store_bench_get(&f->bench, "/invited/alice", &stored, NULL));
        assert_string_equal(stored, "/invites/" ABC);
        invite_newest_get(f->bench.store, STR("alice"), on_newest, f);
        await(f);
        assert_string_equal(buf_c(&f->text), ABC);
        invite_newest_get(f->bench.store, STR("bob"), on_newest, f);
        await(f);
        assert_null(f->err);
        assert_int_equal(f->revision, 0);
        assert_null(store_bench_put(&f->bench, "/invited/carol", STR("x"), (struct walltime){ 0 }, NULL));
        invite_newest_get(f->bench.store, STR("carol"), on_newest, f);
        await(f);
        assert_int_equal(f->err->code, ERROR_DATA_LOSS);
}

/* ---- the rest ------------------------------------------------------------------------------------------ */

static void on_cluster(void *ctx, struct str name, struct error *err)
{
        on_newest(ctx, name, 0, err);
}

static void keeps_the_name_of_the_cluster(void **state)
{
        struct fixture *f = *state;
        struct store_txn *t;

        cluster_name_get(f->bench.store, on_cluster, f);
        await(f);
        assert_null(f->err);
        assert_int_equal(f->text.len, 0);
        t = begin(f);
        cluster_name_create(t, STR("example.com"));
        commit(f, t);
        cluster_name_get(f->bench.store, on_cluster, f);
        await(f);
        assert_string_equal(buf_c(&f->text), "example.com");
        t = begin(f);
        cluster_name_create(t, STR("example.org"));
        AUTO_PTR(error) err = store_bench_commit(&f->bench, t, NULL);
        assert_int_equal(err->code, ERROR_ABORTED);
        assert_null(store_bench_put(&f->bench, "/cluster/name", STR(""), (struct walltime){ 0 }, NULL));
        cluster_name_get(f->bench.store, on_cluster, f);
        await(f);
        assert_int_equal(f->err->code, ERROR_DATA_LOSS);
}

/* Written by a release with other phases, or by hand. */
static void refuses_a_rotation_in_a_phase_that_there_is_not(void **state)
{
        struct fixture *f = *state;
        Cteleport__State__V1__Rotation rotation = CTELEPORT__STATE__V1__ROTATION__INIT;
        struct store_txn *t = begin(f);

        rotation.type = pb_text("host");
        rotation.phase = pb_text("init");
        rotation_put(t, &rotation, 0);
        commit(f, t);
        look_up(f, &rotation_kind, "host");
        assert_null(f->err);
        t = begin(f);
        rotation.phase = pb_text("soon");
        rotation_put(t, &rotation, f->revision);
        commit(f, t);
        look_up(f, &rotation_kind, "host");
        assert_int_equal(f->err->code, ERROR_DATA_LOSS);
        t = begin(f);
        rotation_put(t, &rotation, 0); /* there is one by now */
        AUTO_PTR(error) err = store_bench_commit(&f->bench, t, NULL);
        assert_int_equal(err->code, ERROR_ABORTED);
}

static void names_the_record_of_web_keys(void **state)
{
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);

        (void)state;
        server_put_web_id(STR("h1"), &id);
        assert_string_equal(buf_c(&id), "h1/web");
}

int main(void)
{
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(keeps_the_keys_that_are_on_disk),
                WITH_STORE(reports_a_damaged_record_of_every_kind),
                WITH_STORE(finds_nothing_where_nothing_is),
                cmocka_unit_test(checks_items_of_every_kind),
                WITH_STORE(refuses_an_id_that_fits_no_key),
                WITH_STORE(holds_a_transaction_to_the_revisions_it_read),
                WITH_STORE(lists_records_page_by_page),
                WITH_STORE(scans_on_after_a_damaged_record),
                WITH_STORE(reports_changes_by_id),
                WITH_STORE(restores_the_fields_that_a_host_record_leaves_out),
                WITH_STORE(gives_the_caller_the_error_of_a_damaged_host),
                WITH_STORE(keeps_a_name_under_its_canonical_form),
                WITH_STORE(keeps_a_token_under_a_digest_of_its_name),
                WITH_STORE(refuses_a_token_of_another_name_than_its_key),
                cmocka_unit_test(finds_the_token_of_a_host_of_any_release),
                cmocka_unit_test(names_a_token_of_a_host_once),
                WITH_STORE(refuses_a_resource_without_its_name),
                WITH_STORE(keeps_the_password_and_second_factor_of_a_user),
                cmocka_unit_test(remembers_the_sources_of_the_last_logins),
                WITH_STORE(names_the_newest_invite_of_a_user),
                WITH_STORE(keeps_the_name_of_the_cluster),
                WITH_STORE(refuses_a_rotation_in_a_phase_that_there_is_not),
                cmocka_unit_test(names_the_record_of_web_keys),
        };

        return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
