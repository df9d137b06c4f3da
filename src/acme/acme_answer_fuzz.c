/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property: whatever an ACME server answers, each URL that is used is one of acme_is_url(), a token needs no escape in a
 * request, a valid order has a certificate, an account has at most one only contact, and texts for the log have no control
 * characters.
 */
#include "acme/answer.h"
#include "base/bug.h"
#include "base/names.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_url(const char *url)
{
        if (url != NULL && !acme_is_url(str_of(url)))
                bug("a URL that may not be used");
}

static void check_text(const char *text)
{
        if (!text_is_utf8(str_of(text)))
                bug("text that is not UTF-8");
        for (; *text != '\0'; text++)
                if ((unsigned char)*text < ' ' || *text == 0x7f)
                        bug("a control character");
}

static void check_problem(const struct acme_problem *problem)
{
        check_text(problem->type);
        check_text(problem->detail);
        AUTO_PTR(error) err = acme_problem_error(problem, 400, "x");
        if (err == NULL || err->hint == NULL)
                bug("a problem without a hint");
}

static void check_account(struct str json)
{
        bool has_it = false, has_another = false;
        AUTO_PTR(error) err = acme_read_account(json, STR("mailto:a@b"), &has_it);

        if (err == NULL)
                err = acme_read_account(json, STR("mailto:c@d"), &has_another);
        if (has_it && has_another)
                bug("an account with two addresses that are the only one");
}

static void check_order(struct arena *a, struct str json)
{
        struct acme_order_document o;
        AUTO_PTR(error) err = acme_read_order(a, json, &o);

        if (err != NULL)
                return;
        for (size_t i = 0; i < o.authorization_count; i++)
                check_url(o.authorizations[i]);
        check_url(o.finalize);
        check_url(o.certificate);
        check_problem(&o.problem);
        if (o.status == ACME_VALID && o.certificate == NULL)
                bug("a valid order without a certificate");
}

static void check_authorization(struct arena *a, struct str json)
{
        struct acme_authorization au;
        AUTO_PTR(error) err = acme_read_authorization(a, json, &au);

        if (err != NULL)
                return;
        check_url(au.url);
        check_problem(&au.problem);
        if ((au.url == NULL) != (au.token[0] == '\0'))
                bug("a challenge without a token, or the other way round");
        for (const char *c = au.token; *c != '\0'; c++)
                if (!char_is_alnum(*c) && *c != '-' && *c != '_')
                        bug("a token outside of its alphabet");
        if (!str_is_empty(au.name) && !name_is_host(au.name))
                bug("a name that is no host's");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO_PTR(arena) a = arena_new(16 * MiB);
        struct str text = str_of_bytes(data, size < LIMIT_ACME_ANSWER ? size : LIMIT_ACME_ANSWER);
        struct acme_directory d;
        struct acme_problem problem;
        AUTO_PTR(error) err = acme_read_directory(a, text, &d);

        if (err == NULL) {
                check_url(d.new_nonce);
                check_url(d.new_account);
                check_url(d.new_order);
        }
        check_account(text);
        check_order(a, text);
        check_authorization(a, text);
        acme_read_problem(a, text, &problem);
        check_problem(&problem);
        if (acme_retry_after(text, walltime_of_unix(1700000000)).ns > MILLISECONDS(TIMEOUT_ACME_RETRY_AFTER).ns)
                bug("a wait beyond its limit");
        return 0;
}
