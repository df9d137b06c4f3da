/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolver is getaddrinfo() below: it answers, refuses, or stays silent until the test releases it.
 */
#include "net/lookup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netdb.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "loop/loop.h"

static int gate[2];              /* a byte lets one silent lookup go on */
static _Atomic unsigned lookups; /* begun */

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
        char go;

        (void)service;
        (void)hints;
        lookups++;
        if (strncmp(host, "silent", 6) == 0 && read(gate[0], &go, 1) != 1)
                return EAI_AGAIN;
        if (strncmp(host, "unknown", 7) == 0)
                return EAI_NONAME;
        struct addrinfo *a = calloc(1, sizeof *a + sizeof(struct sockaddr_in));
        struct sockaddr_in *address = (void *)(a + 1);
        a->ai_family = address->sin_family = AF_INET;
        a->ai_addr = (void *)address;
        inet_pton(AF_INET, "192.0.2.1", &address->sin_addr);
        *ret = a;
        return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
        free(list);
}

struct fixture {
        struct loop loop;
        struct lookups *lookups;
        unsigned done;
        enum error_code code;
        char *sent; /* addresses, or the error */
};

static int setup(void **state)
{
        struct fixture *f = NEW(struct fixture);

        assert_int_equal(pipe(gate), 0);
        lookups = 0;
        assert_null(loop_init(&f->loop, NULL));
        f->lookups = lookups_new(&f->loop);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        lookups_free(f->lookups);
        loop_run(&f->loop);
        loop_release(&f->loop);
        close(gate[1]); /* ends the silent lookups */
        free(f->sent);
        free(f);
        return 0;
}

static void on_done(void *ctx, struct str addresses, struct error *err)
{
        struct fixture *f = ctx;

        f->done++;
        free(f->sent);
        f->code = err == NULL ? 0 : err->code;
        f->sent = str_dup(err == NULL ? addresses : str_of(err->what));
        error_free(err);
}

static void run_until(struct fixture *f, unsigned done)
{
        while (f->done < done)
                uv_run(&f->loop.uv, UV_RUN_ONCE);
}

static void look_up(struct fixture *f, const char *host, int ms)
{
        struct lookup *k = lookup_start(f->lookups, str_of(host), MILLISECONDS(ms), on_done, f);

        (void)k;
}

static void finds_addresses_and_reports_their_absence(void **state)
{
        struct fixture *f = *state;

        look_up(f, "sts.example.com", 60000);
        run_until(f, 1);
        assert_int_equal(f->code, 0);
        assert_string_equal(f->sent, "192.0.2.1");
        look_up(f, "unknown.example.com", 60000);
        run_until(f, 2);
        assert_int_equal(f->code, ERROR_UNAVAILABLE);
        assert_non_null(strstr(f->sent, "unknown.example.com does not resolve"));
}

static void a_silent_name_is_given_up_and_holds_up_no_other(void **state)
{
        struct fixture *f = *state;

        for (int i = 0; i < 100; i++)
                look_up(f, "silent.example.com", 60000);
        look_up(f, "sts.example.com", 60000);
        run_until(f, 1);
        assert_string_equal(f->sent, "192.0.2.1");
        look_up(f, "silent.example.com", 20);
        run_until(f, 2);
        assert_int_equal(f->code, ERROR_UNAVAILABLE);
        assert_non_null(strstr(f->sent, "within 20 ms"));
        assert_int_equal(write(gate[1], "g", 1), 1);
        run_until(f, 102);
        assert_string_equal(f->sent, "192.0.2.1");
        assert_int_equal(lookups, 2); /* one for each name, for any number of callers */
}

static void a_cancelled_lookup_gets_no_callback(void **state)
{
        struct fixture *f = *state;
        struct lookup *k = lookup_start(f->lookups, STR("silent.example.com"), SECONDS(60), on_done, f);

        look_up(f, "silent.example.com", 60000);
        lookup_cancel(k);
        assert_int_equal(write(gate[1], "g", 1), 1);
        run_until(f, 1);
        uv_run(&f->loop.uv, UV_RUN_NOWAIT);
        assert_int_equal(f->done, 1);
}

static void ends_while_a_thread_is_still_at_it(void **state)
{
        struct fixture *f = *state;
        struct lookup *k = lookup_start(f->lookups, STR("silent.example.com"), SECONDS(60), on_done, f);

        while (lookups == 0)
                uv_run(&f->loop.uv, UV_RUN_NOWAIT);
        lookup_cancel(k);
        /* teardown */
}

static void keeps_an_answer_until_it_is_forgotten(void **state)
{
        struct fixture *f = *state;

        for (unsigned i = 1; i <= 3; i++) {
                look_up(f, "sts.example.com", 60000);
                run_until(f, i);
                assert_string_equal(f->sent, "192.0.2.1");
        }
        assert_int_equal(lookups, 1);
        lookups_forget(f->lookups, STR("STS.example.com"));
        look_up(f, "sts.example.com", 60000);
        run_until(f, 4);
        assert_int_equal(lookups, 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(finds_addresses_and_reports_their_absence, setup, teardown),
                cmocka_unit_test_setup_teardown(a_silent_name_is_given_up_and_holds_up_no_other, setup, teardown),
                cmocka_unit_test_setup_teardown(a_cancelled_lookup_gets_no_callback, setup, teardown),
                cmocka_unit_test_setup_teardown(ends_while_a_thread_is_still_at_it, setup, teardown),
                cmocka_unit_test_setup_teardown(keeps_an_answer_until_it_is_forgotten, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
