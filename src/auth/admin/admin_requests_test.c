/* SPDX-License-Identifier: Apache-2.0 */
/* Many requests of administrators, in a loop or at once: others, and urgent requests, are still served. */
#include "access/access.h"
#include "auth/admin/admin.h"
#include "auth/sessions/session_testing.h"
#include "base/log.h"
#include "rpc/pb.h"

#define ADMIN_SERVICE "/cteleport.v1.AdminService/"
#define TEXT(literal) pb_text(literal)

struct outcome {
        int done, refused; /* refused: as too many */
        struct error *err; /* of the last */
};

static void on_outcome(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct outcome *o = ctx;

        (void)answer;
        o->done++;
        o->refused += err != NULL && err->code == ERROR_RESOURCE_EXHAUSTED;
        error_free(o->err);
        o->err = err;
}

static void call(struct rpc_client *client, const char *path, const ProtobufCMessageDescriptor *response, const ProtobufCMessage *m, struct outcome *o)
{
        rpc_client_unary(client, (struct rpc_client_call_options){ .path = path, .response = response }, m, on_outcome, o);
}

/* Owned by the caller; NULL: success. */
static struct error *send_request(struct testbed *w, const char *path, const ProtobufCMessageDescriptor *response, const ProtobufCMessage *m)
{
        struct rpc_client *client = connect_as(w, CALLER_ADMIN, "", "");
        struct outcome o = { 0 };

        call(client, path, response, m, &o);
        AWAIT(w, o.done == 1);
        rpc_client_close(client);
        AWAIT(w, w->a.callers == NULL);
        return o.err;
}

static struct error *put_role(struct testbed *w, const char *name)
{
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        Cteleport__V1__PutRoleRequest m = CTELEPORT__V1__PUT_ROLE_REQUEST__INIT;

        m.role = access_preset(a, STR("access"));
        m.role->metadata->name = TEXT(name);
        m.if_revision = TEXT("");
        return send_request(w, ADMIN_SERVICE "PutRole", &cteleport__v1__put_response__descriptor, &m.base);
}

static struct error *by_name(struct testbed *w, const char *path, const ProtobufCMessageDescriptor *response, const char *name)
{
        Cteleport__V1__NameRequest m = CTELEPORT__V1__NAME_REQUEST__INIT;

        m.name = TEXT(name);
        return send_request(w, path, response, &m.base);
}

static struct error *put_lock(struct testbed *w, const char *name)
{
        Cteleport__V1__PutLockRequest m = CTELEPORT__V1__PUT_LOCK_REQUEST__INIT;
        Cteleport__V1__LockTarget target = CTELEPORT__V1__LOCK_TARGET__INIT;
        struct test_lock l;

        target.user = TEXT("alice");
        test_lock_init(&l, name, &target);
        m.lock = &l.lock;
        return send_request(w, ADMIN_SERVICE "PutLock", &cteleport__v1__put_response__descriptor, &m.base);
}

/* A lock is made, read and removed; so are a node and a role removed. */
static void assert_urgent_is_done(struct testbed *w)
{
        assert_done(put_lock(w, "l1"));
        assert_done(by_name(w, ADMIN_SERVICE "GetLock", &cteleport__v1__lock__descriptor, "l1"));
        assert_done(by_name(w, ADMIN_SERVICE "DeleteLock", &cteleport__v1__empty__descriptor, "l1"));
        assert_done(by_name(w, ADMIN_SERVICE "DeleteNode", &cteleport__v1__empty__descriptor, WEB_1));
        assert_done(by_name(w, ADMIN_SERVICE "DeleteRole", &cteleport__v1__empty__descriptor, "r0"));
}

static void changes_in_a_loop_leave_locks_and_removals(void **state)
{
        struct testbed *w = *state;
        struct error *err = NULL;
        char name[16];

        audit_budgets_init(&w->a);
        w->a.accounts[ACCOUNT_ADMIN].bytes_per_day = 5000;
        for (int i = 0; i < 100 && err == NULL; i++) {
                snprintf(name, sizeof name, "r%d", i);
                err = put_role(w, name);
        }
        assert_refused(err, ERROR_RESOURCE_EXHAUSTED, "by changes to the cluster");
        assert_urgent_is_done(w);
        assert_refused(put_role(w, "again"), ERROR_RESOURCE_EXHAUSTED, "by changes to the cluster"); /* it released nothing */
        audit_budgets_release(&w->a);
}

static void locks_in_a_loop_leave_changes_and_removals(void **state)
{
        struct testbed *w = *state;
        struct error *err = NULL;

        audit_budgets_init(&w->a);
        w->a.accounts[ACCOUNT_LOCK].bytes_per_day = 5000;
        assert_done(put_role(w, "r0"));
        for (int i = 0; i < 100 && err == NULL; i++)
                err = put_lock(w, "l1");
        assert_refused(err, ERROR_RESOURCE_EXHAUSTED, "by locks");
        assert_done(by_name(w, ADMIN_SERVICE "DeleteLock", &cteleport__v1__empty__descriptor, "l1"));
        assert_done(by_name(w, ADMIN_SERVICE "DeleteRole", &cteleport__v1__empty__descriptor, "r0"));
        assert_done(put_role(w, "r1"));
        audit_budgets_release(&w->a);
}

/* ---- many at once -------------------------------------------------------------------------------------------------- */

enum { SEARCHES = 104, ON_ONE = 8, AFTER = 900 * KiB }; /* a connection holds no more of them */

/* The worst case: messages of the largest permitted size that wait for a thread. */
static void requests_that_wait_share_a_bound(void **state)
{
        struct testbed *w = *state;
        struct rpc_client *clients[SEARCHES / ON_ONE];
        Cteleport__V1__SearchEventsRequest m = CTELEPORT__V1__SEARCH_EVENTS_REQUEST__INIT;
        AUTO_MEM char *after = mem_alloc(AFTER + 1);
        struct outcome searches = { 0 };
        int let_go;

        assert_done(put_role(w, "r0"));
        admin_init(&w->a);
        memset(after, 'x', AFTER);
        m.after = after;
        given_busy_pool(w, &let_go);
        for (int i = 0; i < SEARCHES; i++) {
                size_t used = w->a.requests.used;
                int done = searches.done;

                if (i % ON_ONE == 0)
                        clients[i / ON_ONE] = connect_as(w, CALLER_ADMIN, "", "");
                call(clients[i / ON_ONE], ADMIN_SERVICE "SearchEvents", &cteleport__v1__search_events_response__descriptor, &m.base, &searches);
                AWAIT(w, w->a.requests.used > used || searches.done > done);
        }
        assert_true(searches.done >= SEARCHES - LIMIT_REQUESTS_MEMORY_IDENTITY / AFTER);
        assert_int_equal(searches.refused, searches.done);
        assert_true(w->a.requests.used <= LIMIT_REQUESTS_MEMORY_IDENTITY);
        assert_true(w->a.requests.used > LIMIT_REQUESTS_MEMORY_IDENTITY / 2);

        struct rpc_client *other = connect_as(w, CALLER_ADMIN, "", "");
        Cteleport__V1__NameRequest name = CTELEPORT__V1__NAME_REQUEST__INIT;
        struct outcome lock = { 0 };
        name.name = TEXT("none");
        call(other, ADMIN_SERVICE "GetLock", &cteleport__v1__lock__descriptor, &name.base, &lock);
        AWAIT(w, lock.done == 1);
        assert_refused(lock.err, ERROR_NOT_FOUND, "none"); /* it was searched */
        rpc_client_close(other);

        open_gate(w, &let_go);
        AWAIT(w, searches.done == SEARCHES);
        error_free(searches.err);
        for (size_t i = 0; i < ARRAY_LEN(clients); i++)
                rpc_client_close(clients[i]);
        AWAIT(w, w->a.callers == NULL);
        assert_int_equal(w->a.requests.used, 0);
        assert_int_equal(w->a.urgent_requests.used, 0);
        assert_urgent_is_done(w);
        budget_release(&w->a.requests);
        budget_release(&w->a.urgent_requests);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, testbed_open, testbed_close)
        const struct CMUnitTest tests[] = {
                ROW(changes_in_a_loop_leave_locks_and_removals),
                ROW(locks_in_a_loop_leave_changes_and_removals),
                ROW(requests_that_wait_share_a_bound),
        };
#undef ROW
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        return cmocka_run_group_tests(tests, NULL, NULL);
}
