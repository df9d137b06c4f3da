/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/proxy_list.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "rpc/pb.h"

DEFINE_AUTO_PTR(proxy_list);

#define ONE "11111111-1111-4111-8111-111111111111"
#define TWO "22222222-2222-4222-8222-222222222222"

enum { SENT_MAX = 4 };

/* The list of the cluster: pairs of host ID and address. */
static bool send_message(struct proxy_list *l, const char *const *pairs)
{
        Cteleport__V1__PresenceDown__Proxies sent = CTELEPORT__V1__PRESENCE_DOWN__PROXIES__INIT;
        Cteleport__V1__PresenceDown__Proxy rows[SENT_MAX], *pointers[SENT_MAX];

        for (size_t i = 0; pairs[2 * i] != NULL; i++) {
                cteleport__v1__presence_down__proxy__init(&rows[i]);
                rows[i].host_id = pb_text(pairs[2 * i]);
                rows[i].addr = pb_text(pairs[2 * i + 1]);
                pointers[i] = &rows[i];
                sent.n_proxies++;
        }
        sent.proxies = pointers;
        return proxy_list_set(l, &sent);
}
#define SEND(l, ...) send_message(l, (const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static void assert_list(const struct proxy_list *l, const char *expected)
{
        AUTO(buf) is = BUF_MAX(1 * KiB);
        const Cteleport__Internal__V1__Proxies *list = proxy_list_message(l);

        for (size_t i = 0; i < list->n_proxies; i++)
                buf_printf(&is, "%.1s@%s ", list->proxies[i]->host_id, list->proxies[i]->addr);
        assert_string_equal(buf_c(&is), expected);
}

static void knows_the_configured_proxy_before_the_cluster_speaks(void **state)
{
        AUTO_PTR(proxy_list) l = proxy_list_new((struct proxy_list_host){ .proxy_server = "proxy.example.com:443" });
        AUTO_PTR(proxy_list) none = proxy_list_new((struct proxy_list_host){ 0 });

        (void)state;
        assert_list(l, "@proxy.example.com:443 ");
        assert_list(none, "");
}

static void dials_each_proxy_at_its_address_or_the_configured_one(void **state)
{
        AUTO_PTR(proxy_list) l = proxy_list_new((struct proxy_list_host){ .proxy_server = "lb:443" });
        AUTO_PTR(proxy_list) direct = proxy_list_new((struct proxy_list_host){ 0 });

        (void)state;
        assert_true(SEND(l, ONE, "one.example.com:3080", TWO, ""));
        assert_list(l, "1@one.example.com:3080 2@lb:443 ");
        assert_true(SEND(direct, ONE, "one:443", TWO, ""));
        assert_list(direct, "1@one:443 ");
}

static void stays_on_this_machine_for_the_proxy_that_runs_here(void **state)
{
        AUTO_PTR(proxy_list) l = proxy_list_new((struct proxy_list_host){ .local_proxy = "127.0.0.1:3080", .host_id = ONE });

        (void)state;
        assert_list(l, "1@127.0.0.1:3080 ");
        assert_true(proxy_list_message(l)->is_guess);
        assert_true(SEND(l, ONE, "public.example.com:443")); /* the same, and now by the cluster */
        assert_false(proxy_list_message(l)->is_guess);
        assert_false(SEND(l, ONE, "public.example.com:443"));
        assert_true(SEND(l, ONE, "public.example.com:443", TWO, "two:443"));
        assert_list(l, "1@127.0.0.1:3080 2@two:443 ");
}

static void ignores_invalid_entries(void **state)
{
        AUTO_PTR(proxy_list) l = proxy_list_new((struct proxy_list_host){ .proxy_server = "lb:443" });

        (void)state;
        assert_true(SEND(l, "../../etc", "one:443", ONE, "a b:1", TWO, "two:70000"));
        assert_list(l, "1@lb:443 2@lb:443 ");
}

static void falls_back_when_the_cluster_names_no_proxy(void **state)
{
        AUTO_PTR(proxy_list) l = proxy_list_new((struct proxy_list_host){ .proxy_server = "lb:443" });

        (void)state;
        assert_true(SEND(l, ONE, "one:443"));
        assert_false(proxy_list_message(l)->is_guess);
        assert_true(SEND(l));
        assert_list(l, "@lb:443 ");
        assert_true(proxy_list_message(l)->is_guess);
}

static void forwards_absent_proxies_and_the_number_of_tunnels(void **state)
{
        AUTO_PTR(proxy_list) l = proxy_list_new((struct proxy_list_host){ .proxy_server = "lb:443" });
        Cteleport__V1__PresenceDown__Proxy one = CTELEPORT__V1__PRESENCE_DOWN__PROXY__INIT, *rows[] = { &one };
        Cteleport__V1__PresenceDown__Proxies sent = CTELEPORT__V1__PRESENCE_DOWN__PROXIES__INIT;

        (void)state;
        one.host_id = pb_text(ONE);
        sent.proxies = rows;
        sent.n_proxies = 1;
        assert_true(proxy_list_set(l, &sent));
        one.is_away = true;
        assert_true(proxy_list_set(l, &sent));
        assert_true(proxy_list_message(l)->proxies[0]->is_away);
        sent.connection_count = 2;
        assert_true(proxy_list_set(l, &sent));
        assert_int_equal(proxy_list_message(l)->connection_count, 2);
        assert_false(proxy_list_set(l, &sent));
}

static void gives_each_list_a_revision_of_its_own(void **state)
{
        AUTO_PTR(proxy_list) l = proxy_list_new((struct proxy_list_host){ .proxy_server = "lb:443" });
        char first[64];

        (void)state;
        snprintf(first, sizeof(first), "%s", proxy_list_message(l)->revision);
        assert_true(SEND(l, ONE, "one:443"));
        assert_string_not_equal(first, proxy_list_message(l)->revision);
        snprintf(first, sizeof(first), "%s", proxy_list_message(l)->revision);
        assert_false(SEND(l, ONE, "one:443"));
        assert_string_equal(first, proxy_list_message(l)->revision);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(knows_the_configured_proxy_before_the_cluster_speaks),
                cmocka_unit_test(dials_each_proxy_at_its_address_or_the_configured_one),
                cmocka_unit_test(stays_on_this_machine_for_the_proxy_that_runs_here),
                cmocka_unit_test(forwards_absent_proxies_and_the_number_of_tunnels),
                cmocka_unit_test(ignores_invalid_entries),
                cmocka_unit_test(falls_back_when_the_cluster_names_no_proxy),
                cmocka_unit_test(gives_each_list_a_revision_of_its_own),
        };

        return cmocka_run_group_tests_name("proxy_list", tests, NULL, NULL);
}
