/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property: for any answer, an identity is returned only with status 200, and then
 * its ARN is well formed and has the same account; every text meant for a log is printable ASCII or
 * well-formed UTF-8 without control characters.
 */
#include "aws/sts_answer.h"
#include "base/bug.h"
#include "base/names.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
        if (!text_is_utf8(str_of(text)))
                bug("text that is not UTF-8");
        for (; *text != '\0'; text++)
                if ((unsigned char)*text < ' ' || *text == 0x7f)
                        bug("a control character");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const int statuses[] = { 200, 400, 403, 500, 302 };
        AUTO(sts_answer) a = { 0 };

        if (size == 0)
                return 0;
        int status = statuses[data[0] % ARRAY_LEN(statuses)];
        const struct str type = data[0] & 0x80 ? STR("text/xml") : STR("application/json");
        sts_answer_read(&(struct sts_http){ status, type, STR(""), str_of_bytes(data + 1, size - 1) }, "aws", &a);
        if ((a.outcome == STS_OUTCOME_IDENTIFIED) != (a.arn[0] != '\0'))
                bug("an ARN without an identity, or the other way round");
        if (a.outcome == STS_OUTCOME_IDENTIFIED) {
                AUTO_PTR(error) err = sts_arn_check(str_of(a.arn), STR("aws"), str_of(a.account));

                if (status != 200 || err != NULL || !name_is_aws_account(str_of(a.account)))
                        bug("an identity that should not be believed");
        }
        check_text(a.account);
        check_text(a.arn);
        check_text(a.user_id);
        check_text(a.code);
        check_text(a.message);
        return 0;
}
