/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rpc/pb.h"
#include "session/session_internal.h"

static bool is_taken(Cteleport__Session__V1__Go go)
{
        AUTO_PTR(error) err = session_go_check(&go);

        return err == NULL;
}

static void takes_names_ids_and_addresses(void **state)
{
        Cteleport__Session__V1__Go go = CTELEPORT__SESSION__V1__GO__INIT;

        (void)state;
        assert_true(is_taken(go)); /* nothing is said */
        go.session_id = go.host_id = "11111111-2222-4333-8444-555555555555";
        go.user = "alice+1@example.com";
        go.cluster = "example.com";
        go.proxy_addr = "proxy.example.com:443";
        go.client_addr = "[2001:db8::7]:50122";
        assert_true(is_taken(go));
}

static void takes_no_words_that_could_be_something_else(void **state)
{
        static const char *const words[] = { "a b", "$(id)", "() { :; }; id", "x\ny=1", "a\033[2J", "`id`", "a;b", "a'b", "a=b", "\xc3\xa4" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(words); i++) {
                Cteleport__Session__V1__Go go = CTELEPORT__SESSION__V1__GO__INIT;
                char **const fields[] = { &go.session_id, &go.user, &go.cluster, &go.host_id, &go.proxy_addr, &go.client_addr };

                for (size_t f = 0; f < ARRAY_LEN(fields); f++) {
                        char *before = *fields[f];

                        *fields[f] = pb_text(words[i]);
                        assert_false(is_taken(go));
                        *fields[f] = before;
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(takes_names_ids_and_addresses),
                cmocka_unit_test(takes_no_words_that_could_be_something_else),
        };

        return cmocka_run_group_tests_name("go_check", tests, NULL, NULL);
}
