/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rpc/pb.h"
#include "session/session_internal.h"

static bool is_taken(Cteleport__Session__V1__Approval approval)
{
        AUTO_PTR(error) err = session_approval_check(&approval);

        return err == NULL;
}

static void takes_names_ids_and_addresses(void **state)
{
        Cteleport__Session__V1__Approval approval = CTELEPORT__SESSION__V1__APPROVAL__INIT;

        (void)state;
        assert_true(is_taken(approval)); /* all fields are empty */
        approval.session_id = approval.host_id = "11111111-2222-4333-8444-555555555555";
        approval.user = "alice+1@example.com";
        approval.cluster = "example.com";
        approval.proxy_addr = "proxy.example.com:443";
        approval.client_addr = "[2001:db8::7]:50122";
        assert_true(is_taken(approval));
}

static void accepts_no_argument_that_could_be_an_option(void **state)
{
        static const char *const words[] = { "a b", "$(id)", "() { :; }; id", "x\ny=1", "a\033[2J", "`id`", "a;b", "a'b", "a=b", "\xc3\xa4" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(words); i++) {
                Cteleport__Session__V1__Approval approval = CTELEPORT__SESSION__V1__APPROVAL__INIT;
                char **const fields[] = { &approval.session_id, &approval.user, &approval.cluster, &approval.host_id, &approval.proxy_addr, &approval.client_addr };

                for (size_t f = 0; f < ARRAY_LEN(fields); f++) {
                        char *before = *fields[f];

                        *fields[f] = pb_text(words[i]);
                        assert_false(is_taken(approval));
                        *fields[f] = before;
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(takes_names_ids_and_addresses),
                cmocka_unit_test(accepts_no_argument_that_could_be_an_option),
        };

        return cmocka_run_group_tests_name("approval_check", tests, NULL, NULL);
}
