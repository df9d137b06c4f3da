/* SPDX-License-Identifier: Apache-2.0 */
#include "join/binding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

static const char *const names[] = { "web-1", "10.0.0.1" };

static struct join_binding example(void)
{
        return (struct join_binding){
                .channel = STR("0123456789abcdef0123456789abcdef"),
                .token_name = STR("iam-token"),
                .role = STR("Instance"),
                .host_name = STR("web-1"),
                .tls_public_key = STR("a key"),
                .ssh_public_key = STR("another key"),
                .principals = names,
                .principal_count = 2,
        };
}

static void makes_the_digest_of_the_documented_form(void **state)
{
        (void)state;
        struct join_binding b = example();
        char digest[JOIN_BINDING_SIZE + 1];

        join_binding_digest(&b, digest);
        assert_string_equal(digest, "6961592ac84b12f1bf094505101e5c1ba74dcf4da2a5a19ddf3e29fe7e1b4121");
}

static void every_field_counts(void **state)
{
        (void)state;
        struct join_binding all[12];
        char digests[ARRAY_LEN(all)][JOIN_BINDING_SIZE + 1];

        for (size_t i = 0; i < ARRAY_LEN(all); i++)
                all[i] = example();
        all[1].channel = STR("");
        all[2].channel = STR("0123456789abcdef0123456789abcdeF");
        all[3].token_name = STR("iam-tokens");
        all[4].role = STR("Node");
        all[5].host_id = STR("id");
        all[6].host_name = STR("web-2");
        all[7].tls_public_key = STR("another key");
        all[8].ssh_public_key = STR("a key");
        all[9].principal_count = 1;
        all[10].dns_names = names;
        all[10].dns_name_count = 1;
        /* The same bytes, cut elsewhere. */
        all[11].token_name = STR("iam-tok");
        all[11].role = STR("enInstance");
        for (size_t i = 0; i < ARRAY_LEN(all); i++)
                join_binding_digest(&all[i], digests[i]);
        for (size_t i = 0; i < ARRAY_LEN(all); i++)
                for (size_t k = 0; k < i; k++)
                        assert_string_not_equal(digests[i], digests[k]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(makes_the_digest_of_the_documented_form),
                cmocka_unit_test(every_field_counts),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
