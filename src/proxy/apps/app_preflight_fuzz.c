/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: an allowed origin, then the head of a request, separated by a zero byte. Properties: an answer is for the origin of the page, which is the allowed one
 * in the form of a browser, and permits credentials to no page by "*"; without a permission there is no field.
 */
#include "base/bug.h"
#include "base/mem.h"
#include "proxy/apps/app_preflight.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct http_request *r, struct str allowed)
{
        AUTO(http_fields) fields = { 0 };
        AUTO_MEM char *origin = str_dup(allowed);
        char *origins[] = { origin };
        Cteleport__V1__AppCors cors = CTELEPORT__V1__APP_CORS__INIT;
        struct error *err;

        cors.allowed_origins = origins;
        cors.n_allowed_origins = 1;
        bool is_answered = app_preflight_put(&cors, r, &fields, &err);
        struct str answered = http_fields_get(&fields, "access-control-allow-origin"), asked = http_fields_get(&r->fields, "origin");
        error_free(err);
        if (is_answered && !str_equal(answered, STR("*")) && !str_equal(answered, asked))
                bug("another page is permitted");
        if (is_answered && !str_equal(str_of(origin), STR("*")) && !str_equal(str_of(origin), asked))
                bug("'%.*s' is permitted as '%s'", STR_ARG(asked), origin);
        if (!is_answered && err == NULL && fields.count > 0)
                bug("fields without a permission");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO(http_request) r = { 0 };
        struct str head = str_of_bytes(data, size), allowed = str_split(&head, '\0');
        size_t scanned = 0, len = 0;
        struct error *err = http_head_find_end(head, &scanned, &len);

        if (err == NULL && len > 0)
                err = http_request_parse(str_slice(head, 0, len), &r);
        if (err == NULL && len > 0 && app_preflight_is(&r))
                check(&r, allowed);
        error_free(err);
        return 0;
}
