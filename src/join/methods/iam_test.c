/* SPDX-License-Identifier: Apache-2.0 */
/* The answers of a captured `sts` process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "join/methods/iam.h"
#include "rpc/pb.h"

#define ACCOUNT "123456789012"
#define ARN     "arn:aws:sts::" ACCOUNT ":assumed-role/web/i-0abc"
#define LONG_ID "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static struct error *checked(const char *account, const char *arn, const char *user_id)
{
        Cteleport__Internal__V1__StsAnswer answer = CTELEPORT__INTERNAL__V1__STS_ANSWER__INIT;

        answer.outcome = CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__IDENTIFIED;
        answer.account = pb_text(account);
        answer.arn = pb_text(arn);
        answer.user_id = pb_text(user_id);
        return iam_check_identity(&answer, "sts.us-east-1.amazonaws.com", "aws");
}

static void believes_no_identity_of_a_bad_form(void **state)
{
        static const struct {
                const char *account, *arn, *user_id;
        } cases[] = {
                { "", ARN, "" },
                { "*", ARN, "" },
                { "12345678901", ARN, "" },
                { "1234567890123", ARN, "" },
                { "12345678901x", ARN, "" },
                { "999999999999", ARN, "" }, /* they do not agree */
                { ACCOUNT, "", "" },
                { ACCOUNT, "*", "" },
                { ACCOUNT, "arn:aws-cn:sts::" ACCOUNT ":assumed-role/web/i-0abc", "" },
                { ACCOUNT, "arn:aws:sts:us-east-1:" ACCOUNT ":assumed-role/web/i-0abc", "" },
                { ACCOUNT, "arn:aws:iam::" ACCOUNT ":role/web", "" },
                { ACCOUNT, "arn:aws:sts::" ACCOUNT ":assumed-role/web", "" },
                { ACCOUNT, "arn:aws:sts::" ACCOUNT ":assumed-role/web/i-0abc/more", "" },
                { ACCOUNT, "arn:aws:sts::" ACCOUNT ":assumed-role//i-0abc", "" },
                { ACCOUNT, ARN "\n", "" },
                { ACCOUNT, "arn:aws:sts::" ACCOUNT ":assumed-role/web/\xc3\xa4", "" },
                { ACCOUNT, ARN, "two words" },
                { ACCOUNT, ARN, LONG_ID LONG_ID LONG_ID LONG_ID "A" },
        };

        (void)state;
        assert_null(checked(ACCOUNT, ARN, ""));
        assert_null(checked(ACCOUNT, ARN, "AROAEXAMPLE:i-0abc"));
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO_PTR(error) err = checked(cases[i].account, cases[i].arn, cases[i].user_id);

                if (err == NULL || err->code != ERROR_PERMISSION_DENIED)
                        fail_msg("account '%s', ARN '%s', user ID '%s'", cases[i].account, cases[i].arn, cases[i].user_id);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(believes_no_identity_of_a_bad_form),
        };

        return cmocka_run_group_tests_name("iam", tests, NULL, NULL);
}
